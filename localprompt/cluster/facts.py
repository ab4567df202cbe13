"""A child process that says what its machine is and has; see :mod:`localprompt.cluster.room`.

A process of its own, because it opens llama.cpp to know the build, and proves it.
"""

from __future__ import annotations

import sys
import time

import msgspec

from localprompt.measure import machine, memory
from localprompt.models.store import list_models
from localprompt.processes import Parent, serve
from localprompt.records import json
from localprompt.records.cluster import MachineFacts
from localprompt.records.work import Open, Opened, Work, Worked

MODULE = "localprompt.cluster.facts"


def main() -> int:
    """Serve the parent on stdin and stdout; returns the exit code."""
    return serve(Open | Work, answer)


def answer(parent: Parent[Open | Work]) -> None:
    """Say it until the parent wants no more.

    Raises:
        EngineError: llama.cpp does not compute right on this machine.
    """
    from localprompt.engine.llama.library import build, cpu_features
    from localprompt.engine.llama.proof import gate

    gate.passed()
    here = machine.describe(llama_cpp_build=build(), cpu_features=cpu_features())
    for command in parent.commands():
        if isinstance(command, Open):
            parent.say(Opened(here))
            continue
        entries, _ = list_models()
        facts = MachineFacts(
            machine=here,
            available_bytes=memory.available().available_bytes,
            sha256s=tuple(one.card.sha256 for one in entries if one.state == "present"),
            clock_seconds=time.time(),
        )
        parent.say(Worked(msgspec.Raw(json.encode(facts))))


if __name__ == "__main__":
    sys.exit(main())
