"""A worker whose models are scripted, so that it can be told to do what no model does on demand.

Started as a process of its own: ``python scripted_worker.py``. The prompt's text says what is to
happen, once per repetition:

    die SIGNAL      end by that signal, with a last word on stderr
    refuse          llama.cpp fails
    hang            never answer
    log             append a line to the file that is the prompt's second word
    (anything else) answer with as many tokens as max_tokens allows
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from localprompt.engine.base import BufferSizes, Engine
from localprompt.engine.scripted import ScriptedEngine
from localprompt.engine.synthetic import SyntheticEngine
from localprompt.errors import EngineError
from localprompt.records.cell import BenchRequest, Cell
from localprompt.records.run import RunWarning, Settings
from localprompt.running import worker

COMMAND = (sys.executable, __file__)


class ScriptedSynthetic:
    """Counts instead of computing."""

    build = "scripted"
    cpu_features: tuple[str, ...] = ()
    remarks: tuple[RunWarning, ...] = ()
    load_seconds = 0.01
    buffers = BufferSizes(1, 2, 3)
    settings = Settings(512, 512, 512, 1, 1, "f16", "f16", True, True, False)

    def clear(self) -> None:
        pass

    def prefill(self, n_tokens: int) -> None:
        time.sleep(n_tokens * 1e-5)

    def decode(self, n_tokens: int) -> list[float]:
        return [time.perf_counter() for _ in range(n_tokens)]

    def close(self) -> None:
        pass

    def __enter__(self) -> ScriptedSynthetic:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def engine(cell: Cell) -> Engine:
    def answer(prompt: str) -> Sequence[bytes | BaseException]:
        words = prompt.split()
        match words[:1]:
            case ["die"]:
                print("the last word", file=sys.stderr, flush=True)
                os.kill(os.getpid(), getattr(signal, words[1]))
            case ["refuse"]:
                raise EngineError("llama.cpp could not evaluate a batch", found="status 1")
            case ["hang"]:
                signal.pause()
            case ["log"]:
                with Path(words[1]).open("a") as log:
                    log.write(f"{os.getpid()} {' '.join(words[2:])}\n")
        return [b"word "] * 100

    return ScriptedEngine(answer)


def synthetic(request: BenchRequest) -> SyntheticEngine:
    return ScriptedSynthetic()


if __name__ == "__main__":
    sys.exit(worker.main(worker.Engines(engine, synthetic)))
