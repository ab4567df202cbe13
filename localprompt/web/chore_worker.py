"""The child that does one chore of the page: pulls a model, quantizes one, or asks the doctor.

The same calls as ``models pull``, ``models quantize`` and ``doctor`` make. SIGINT ends it as Ctrl-C
ends those.
"""

from __future__ import annotations

import sys
import time

import msgspec

from localprompt.doctor import Finding, diagnose
from localprompt.processes import Parent, serve

_SECONDS_BETWEEN_STAGES = 0.2


class Pull(msgspec.Struct, frozen=True, tag_field="do", tag="pull"):
    """Bring a card's weights into the store."""

    model: str
    accept_license: bool = False


class Quantize(msgspec.Struct, frozen=True, tag_field="do", tag="quantize"):
    """Make ``<model>-<type>``."""

    model: str
    to: str


class Diagnose(msgspec.Struct, frozen=True, tag_field="do", tag="diagnose"):
    """Say what this machine and this build can do."""


class Stage(msgspec.Struct, frozen=True, tag_field="is", tag="stage"):
    name: str
    """As the progress bar has it: download, verify, quantize."""
    done: int
    """Bytes."""
    total: int | None
    """Bytes; None: not known."""


class Done(msgspec.Struct, frozen=True, tag_field="is", tag="done"):
    model: str
    """The name of the model that is there now."""


class Found(msgspec.Struct, frozen=True, tag_field="is", tag="found"):
    findings: tuple[Finding, ...]


Command = Pull | Quantize | Diagnose
Reply = Stage | Done | Found


def main() -> int:
    """Serve the parent on stdin and stdout; returns the exit code."""
    return serve(Command, _work)


def _work(parent: Parent[Command]) -> None:
    for command in parent.commands():
        match command:
            case Pull():
                parent.say(_pulled(command, parent))
            case Quantize():
                parent.say(_quantized(command, parent))
            case Diagnose():
                parent.say(Found(diagnose()))


def _pulled(command: Pull, parent: Parent[Command]) -> Done:
    from localprompt.models.pull import pull
    from localprompt.models.resolve import find_card

    card = find_card(command.model)
    pull(card, accept_license=command.accept_license, progress=_Telling(parent))
    return Done(card.name)


def _quantized(command: Quantize, parent: Parent[Command]) -> Done:
    from localprompt.models.quantize.job import prepare
    from localprompt.models.quantize.make import make

    telling = _Telling(parent)
    job = prepare(command.model, command.to, progress=telling)
    return Done(make(job, progress=telling).card.name)


class _Telling:
    """Tells the parent how far it is, a few times a second."""

    def __init__(self, parent: Parent[Command]) -> None:
        self._parent = parent
        self._told = float("-inf")
        self._stage = ""

    def __call__(self, stage: str, done_bytes: int, total_bytes: int | None) -> None:
        now = time.monotonic()
        if stage != self._stage or now - self._told >= _SECONDS_BETWEEN_STAGES:
            self._stage, self._told = stage, now
            self._parent.say(Stage(stage, done_bytes, total_bytes))


if __name__ == "__main__":
    sys.exit(main())
