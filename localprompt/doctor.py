"""What a person would look at first when something is slow or does not work.

This module reads, :mod:`localprompt.checkup` judges. Readings never change anything, open no
socket and load no weights. What else the machine does is seen between two readings, one before
everything and one after, so that nobody has to wait for it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from localprompt import __version__, paths
from localprompt.checkup import (
    Finding,
    of_build,
    of_cores,
    of_disk,
    of_memory,
    of_models,
    of_others,
    of_power,
)
from localprompt.errors import LocalPromptError
from localprompt.measure import conditions, machine, memory
from localprompt.measure.warnings import condition_warnings
from localprompt.models.store import ModelEntry
from localprompt.units import format_bytes

_N_CTX = 4096
"""For which it is said what fits; less where a model was trained on less."""


def diagnose() -> tuple[Finding, ...]:
    """Everything, in the order in which one thing depends on another."""
    before = conditions.read()
    found = (*_build(), *_machine(), *_store(), *_history())
    return (*found, *of_others(condition_warnings(before, conditions.read())))


def _build() -> Iterator[Finding]:
    yield Finding("localprompt", __version__)
    try:
        from localprompt.engine.llama.library import build, cpu_features

        features, package = cpu_features(), build()
    except LocalPromptError as error:
        yield Finding("llama.cpp", str(error), "broken", error.next_step or "")
        return
    yield Finding("llama.cpp", package)
    yield of_build(package.replace(" ", "=="), features, machine.cpu_flags())


def _machine() -> Iterator[Finding]:
    facts = machine.describe()
    yield Finding("cpu", facts.cpu or "unknown")
    yield of_cores(facts, machine.default_threads())
    yield from of_memory(memory.available())
    yield from of_power(facts)


def _store() -> Iterator[Finding]:
    from localprompt.models.cards import DEFAULT_MODEL
    from localprompt.models.store import list_models

    folder = paths.home()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    rotating = machine.on_rotating_disk(os.stat(existing).st_dev)  # noqa: PTH116  any device
    yield of_disk(str(folder), shutil.disk_usage(existing).free, rotating)
    entries, problems = list_models()
    here = [entry for entry in entries if entry.state == "present"]
    if here:
        yield of_models(_peaks(here), _N_CTX, memory.available().available_bytes)
    else:
        pull = f"localprompt models pull {DEFAULT_MODEL}"
        yield Finding("models", "none here yet", "slow", command=pull)
    for entry in entries:
        if entry.state == "damaged":
            verify = f"localprompt models verify {entry.card.name}"
            yield Finding("model", f"{entry.card.name} is damaged", "broken", command=verify)
    for problem in problems:
        yield Finding("model card", str(problem), "broken", problem.next_step or "")


def _peaks(entries: list[ModelEntry]) -> dict[str, int]:
    """Predicted peak of each model; those whose header cannot be read are left out."""
    from localprompt.models.inspect import inspect_model
    from localprompt.models.predict import predict_memory

    peaks = {}
    for entry in entries:
        try:
            info = inspect_model(Path(entry.card.weights))
        except LocalPromptError:
            continue  # opening it says why
        n_ctx = max(1, min(_N_CTX, info.n_ctx_train))
        peaks[entry.card.name] = predict_memory(info, n_ctx=n_ctx, n_batch=512).peak_bytes
    return peaks


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
