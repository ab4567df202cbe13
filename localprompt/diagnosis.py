"""What a person would look at first when something is slow or does not work.

Each check is a finding: what was looked at, what was found, and, where something is wrong, the
command or change that mends it. Checks read; they never change anything and open no socket.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Literal

import msgspec

from localprompt import __version__, home
from localprompt.errors import LocalPromptError
from localprompt.measure import machine, memory
from localprompt.records import Machine
from localprompt.units import GIB, format_bytes

Level = Literal["ok", "slow", "broken"]

_FEWEST_FREE_BYTES = GIB
"""Of memory and of disk: below it even the starter model becomes a tight fit."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    text: str
    level: Level = "ok"
    """slow: works, but not as well as it could; broken: does not work."""
    advice: str = ""


def diagnose() -> tuple[Finding, ...]:
    """Everything, in the order in which one thing depends on another."""
    return (*_build(), *_machine(machine.describe()), *_store(), *_history())


def _build() -> Iterator[Finding]:
    yield Finding("localprompt", __version__)
    try:
        from localprompt.engine.llama_library import build, cpu_features

        features = cpu_features()
        yield Finding("llama.cpp", build())
    except LocalPromptError as error:
        yield Finding("llama.cpp", str(error), "broken", error.next_step or "")
        return
    vectors = [
        f for f in features if f.startswith(("AVX", "FMA", "F16C", "NEON", "SVE", "DOTPROD"))
    ]
    level: Level = "ok" if vectors else "slow"
    yield Finding(
        "build uses",
        ", ".join(features) or "no vector instructions",
        level,
        "" if vectors else "reinstall llama-cpp-python from source on this machine",
    )


def _machine(facts: Machine) -> Iterator[Finding]:
    yield Finding("cpu", facts.cpu or "unknown")
    cores = f"{facts.physical_cores or '?'} physical, {facts.logical_cores or '?'} logical"
    usable = f", {facts.usable_cores:g} usable here" if facts.usable_cores else ""
    yield Finding("cores", cores + usable)
    free = memory.available()
    tight = free.available_bytes is not None and free.available_bytes < _FEWEST_FREE_BYTES
    yield Finding(
        "memory",
        f"{format_bytes(free.available_bytes)} free of {format_bytes(free.total_bytes)}",
        "slow" if tight else "ok",
        "close other programs before running a model" if tight else "",
    )
    if facts.governor == "powersave":
        yield Finding(
            "governor",
            "powersave: the CPU may not reach its full speed",
            "slow",
            "sudo cpupower frequency-set -g performance",
        )
    if facts.on_battery:
        yield Finding("power", "on battery: speed may be limited", "slow", "plug it in")


def _store() -> Iterator[Finding]:
    from localprompt.catalog.cards import DEFAULT_MODEL
    from localprompt.catalog.store import list_models

    folder = home.home()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    tight = free < _FEWEST_FREE_BYTES
    yield Finding(
        "home",
        f"{folder} ({format_bytes(free)} free)",
        "slow" if tight else "ok",
        "make room, or set LOCALPROMPT_HOME to another disk" if tight else "",
    )
    entries, problems = list_models()
    here = [entry.card.name for entry in entries if entry.state == "present"]
    yield Finding(
        "models",
        ", ".join(here) if here else "none here yet",
        "ok" if here else "slow",
        "" if here else f"localprompt models pull {DEFAULT_MODEL}",
    )
    for entry in entries:
        if entry.state == "damaged":
            advice = f"localprompt models verify {entry.card.name}"
            yield Finding("model", f"{entry.card.name} is damaged", "broken", advice)
    for problem in problems:
        yield Finding("model card", str(problem), "broken", problem.next_step or "")


def _history() -> Iterator[Finding]:
    from localprompt.errors import HistoryError
    from localprompt.store.reader import HistoryReader

    try:
        with HistoryReader() as history:
            stats = history.stats()
    except HistoryError as error:
        yield Finding("history", str(error), "broken", error.next_step or "")
        return
    count = "1 run" if stats.runs == 1 else f"{stats.runs} runs"
    yield Finding("history", f"{count}, {format_bytes(stats.file_bytes)}")
