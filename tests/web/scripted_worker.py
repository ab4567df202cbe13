"""The page's worker with a scripted engine in place of llama.cpp: a word at a time.

Prompts that contain ``slow`` take a tenth of a second a word, ``die`` ends the process at once,
``collapse`` in the middle of the answer.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

from localprompt.engine.base import Engine, Event, GenerationRequest
from localprompt.engine.scripted import ScriptedEngine
from localprompt.records.cell import Cell
from localprompt.web.worker import main

ANSWER = [b"Red, ", b"green ", b"and ", b"<b>blue</b>.", *[b" More."] * 30]


class Obedient(ScriptedEngine):
    """Does what its prompt says."""

    def __init__(self) -> None:
        super().__init__(self._said)
        self._slow = self._collapses = False

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Event]:
        for number, event in enumerate(super().generate(requests)):
            if self._slow:
                time.sleep(0.1)
            if self._collapses and number == len(ANSWER) // 2:
                os.abort()
            yield event

    def _said(self, prompt: str) -> Sequence[bytes]:
        if "die" in prompt:
            os.kill(os.getpid(), signal.SIGKILL)
        self._slow, self._collapses = "slow" in prompt, "collapse" in prompt
        return ANSWER


def open_scripted(cell: Cell) -> Engine:
    return Obedient()


if __name__ == "__main__":
    sys.exit(main(open_scripted))
