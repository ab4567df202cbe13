"""What to check first when something is slow or does not work: the machine, the build, the stores.

Readings open no socket and load no weights, and nothing is changed but the verdict on llama.cpp's
library, which is made anew. What else the machine does is seen between two readings, one before
everything and one after, so that nobody has to wait for it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from localprompt import __version__, paths
from localprompt.compiling import rebuild_command
from localprompt.engine.llama.proof import attention, gate
from localprompt.errors import LocalPromptError
from localprompt.measure import conditions, machine, memory
from localprompt.measure.memory import AvailableMemory
from localprompt.measure.warnings import condition_warnings
from localprompt.models.store import ModelEntry
from localprompt.records.attention import AttentionTable
from localprompt.records.proof import Proof
from localprompt.records.run import Machine, RunWarning
from localprompt.units import GIB, MIB, format_bytes

_N_CTX = 4096
"""The context for which the doctor says what fits; less where a model was trained on less."""


def diagnose() -> tuple[Finding, ...]:
    """Everything, in the order in which one thing depends on another."""
    before = conditions.read()
    found = (*_build(), *_machine(), *_store(), *_history())
    return (*found, *of_others(condition_warnings(before, conditions.read())))


def _build() -> Iterator[Finding]:
    yield Finding("localprompt", __version__)
    proof = gate.prove_again()
    if proof is not None and proof.plain.wrong is not None:
        # Opening that library in this process may be the end of it.
        yield of_proof(proof)
        return
    try:
        from localprompt.engine.llama.library import build, cpu_features

        features, package = cpu_features(), build()
    except LocalPromptError as error:
        yield Finding("llama.cpp", str(error), "broken", error.next_step or "")
        return
    yield Finding("llama.cpp", package)
    yield of_build(features, machine.cpu_flags())
    yield of_proof(proof)
    yield of_attention(attention.kept(), attention.damaged(), attention.given_up())


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
    yield from of_privacy(folder, paths.open_to_others(folder))
    entries, problems = list_models()
    if (store := paths.shared()) is not None and store != folder:
        shared = [entry for entry in entries if entry.place == "shared"]
        yield from of_shared(store, unreadable(store, shared), len(shared))
    here = [entry for entry in entries if entry.state == "present"]
    if here:
        yield of_models(predicted_peaks(here), _N_CTX, memory.available().available_bytes)
    else:
        pull = f"localprompt models pull {DEFAULT_MODEL}"
        yield Finding("models", "none here yet", "slow", command=pull)
    for entry in entries:
        if entry.state == "damaged":
            verify = f"localprompt models verify {entry.card.name}"
            yield Finding("model", f"{entry.card.name} is damaged", "broken", command=verify)
    for problem in problems:
        yield Finding("model card", str(problem), "broken", problem.next_step or "")


def predicted_peaks(entries: list[ModelEntry]) -> dict[str, int]:
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
    from localprompt.store.history import History

    try:
        with History(read_only=True) as history:
            stats = history.stats()
    except HistoryError as error:
        yield Finding("history", str(error), "broken", error.next_step or "")
        return
    count = "1 run" if stats.runs == 1 else f"{stats.runs} runs"
    yield Finding("history", f"{count}, {format_bytes(stats.file_bytes)}")


Level = Literal["ok", "slow", "broken"]

FEWEST_FREE_BYTES = GIB
"""Of memory and of disk: below it even the starter model becomes a tight fit."""
_NOTABLE_SWAP_BYTES = 64 * MIB
"""Less is what idle services leave there."""
_SLOW_GOVERNORS = frozenset({"powersave", "conservative", "userspace"})

# The kernel's name of an instruction set → llama.cpp's, of those that its kernels are written for.
_INSTRUCTION_SETS = {
    "avx": "AVX",
    "avx2": "AVX2",
    "fma": "FMA",
    "f16c": "F16C",
    "avx512f": "AVX512",
    "avx512_vnni": "AVX512_VNNI",
    "avx512_bf16": "AVX512_BF16",
    "avx_vnni": "AVX_VNNI",
    "amx_int8": "AMX_INT8",
    "asimd": "NEON",
    "asimddp": "DOTPROD",
    "i8mm": "MATMUL_INT8",
    "sve": "SVE",
}


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    text: str
    level: Level = "ok"
    """slow: works, but not as well as it could; broken: does not work."""
    advice: str = ""
    """What to do, in words."""
    command: str = ""
    """What to type, exactly."""


def of_build(features: Collection[str], flags: Collection[str] | None) -> Finding:
    """Does the build use what the CPU can do?

    Args:
        features: instruction sets that the build uses, by llama.cpp's names.
        flags: what the CPU can do, by the kernel's names; None: unknown.
    """
    used = ", ".join(features) or "no vector instructions"
    able = {_INSTRUCTION_SETS[flag] for flag in flags or () if flag in _INSTRUCTION_SETS}
    unused = sorted(able - set(features))
    if features and not unused:
        return Finding("build uses", used)
    return Finding(
        "build uses",
        f"{used}; this CPU also has {', '.join(unused)}" if unused else used,
        "slow",
        "build llama.cpp for this CPU; that takes some minutes and a C++ compiler",
        rebuild_command(),
    )


def of_proof(proof: Proof | None) -> Finding:
    """Does the build compute right on this CPU?

    Args:
        proof: None: that could not be found out.
    """
    if proof is None:
        return Finding(
            "computes",
            "not known: a test of this build could not be made, or was killed",
            "slow",
            "check for free memory and for space in the temporary folder, then repeat",
        )
    wrong = proof.plain.wrong or proof.extra.wrong
    if wrong is None:
        kinds = ", ".join(name for name in proof.buffers if name != "CPU_Mapped")
        return Finding("computes", f"right, in plain buffers and in {kinds or 'no others'}")
    again = ("build llama.cpp again", gate.rebuild_command())
    if proof.plain.wrong is not None:
        return Finding("computes", f"not on this CPU: {wrong}", "broken", *again)
    return Finding("computes", f"right, but not repacked or with AMX: {wrong}", "slow", *again)


def of_attention(
    tables: Collection[AttentionTable], damaged: Collection[Path] = (), given_up: int = 0
) -> Finding:
    """How attention is chosen: by what was measured, or not at all yet.

    Args:
        damaged: files of tables that cannot be read, or contradict themselves.
        given_up: tables that were tried in vain during the last hour.
    """
    ratios = sorted(ratio for table in tables if (ratio := _decoded_behind(table)) is not None)
    if damaged:
        return Finding(
            "attention",
            f"{len(damaged)} of the tables cannot be used: damaged, or measured while other "
            "programs ran; it is as llama.cpp chooses, or measured again",
            "slow",
            command="localprompt doctor --measure",
        )
    if given_up:
        return Finding(
            "attention",
            "measured in vain during the last hour: it took too long or contradicted itself, as it "
            "does while other programs run. It is as llama.cpp chooses until the hour is over",
            "slow",
            command="localprompt doctor --measure",
        )
    if not ratios:
        own = "as llama.cpp chooses; measured at the first long prompt"
        return Finding("attention", own)
    span = " to ".join(f"{ratio:.1f}" for ratio in dict.fromkeys((ratios[0], ratios[-1])))
    models = [table.model or "a model" for table in tables if table.whole_model]
    count = len(tables) - len(models)
    shapes = ["1 shape of heads" if count == 1 else f"{count} shapes of heads"] if count else []
    return Finding(
        "attention",
        f"chosen for each request, from {' and '.join([*shapes, *models])} measured: behind 2,048 "
        f"tokens a decoded one takes {span} times as long with flash attention as without",
    )


def _decoded_behind(table: AttentionTable) -> float | None:
    """How many times as long one token behind 2,048 takes with flash attention."""
    found = {
        c.flash_attn: c.seconds
        for c in table.costs
        if (c.tokens, c.depth, c.sequences) == (1, 2048, 1)
    }
    return found[True] / found[False] if len(found) == 2 and found[False] else None


def of_cores(facts: Machine, threads: int) -> Finding:
    """Cores, what may be used of them, and how many threads that makes by default."""
    cores = f"{facts.physical_cores or '?'} physical, {facts.logical_cores or '?'} logical"
    usable = "" if facts.usable_cores is None else f", {facts.usable_cores:g} usable here"
    text = f"{cores}{usable}; {threads} {'thread' if threads == 1 else 'threads'} by default"
    if facts.usable_cores is None or facts.usable_cores >= (facts.physical_cores or 0):
        return Finding("cores", text)
    advice = "raise the container's CPU limit, or the CPUs that this process is bound to"
    return Finding("cores", text, "slow", advice)


def of_memory(free: AvailableMemory) -> Iterator[Finding]:
    """Is there memory for a model, and is some of it in swap?"""
    tight = free.available_bytes is not None and free.available_bytes < FEWEST_FREE_BYTES
    whole = free.total_bytes if free.limit_bytes is None else free.limit_bytes
    limited = "" if free.limit_bytes is None else " (the container's limit)"
    yield Finding(
        "memory",
        f"{format_bytes(free.available_bytes)} free of {format_bytes(whole)}{limited}",
        "slow" if tight else "ok",
        "close other programs before running a model" if tight else "",
    )
    swapped = free.swap_used_bytes or 0
    if swapped < _NOTABLE_SWAP_BYTES:
        return
    # Bringing it back is only possible where it fits.
    back = free.available_bytes is not None and free.available_bytes > 2 * swapped
    yield Finding(
        "swap",
        f"{format_bytes(swapped)} in use: what is there comes back at the disk's speed",
        "slow",
        "bring it back into memory" if back else "close other programs",
        "sudo swapoff -a && sudo swapon -a" if back else "",
    )


def of_models(peaks: Mapping[str, int], n_ctx: int, available_bytes: int | None) -> Finding:
    """Which models fit into the memory that is free?

    Args:
        peaks: predicted peak of each model that is here, by name.
        n_ctx: for which it was predicted.
    """
    room = sys.maxsize if available_bytes is None else available_bytes
    told = [
        f"{name} {format_bytes(peak)}{'' if peak <= room else ' (does not fit)'}"
        for name, peak in peaks.items()
    ]
    text = f"{', '.join(told)}; peak at n_ctx {n_ctx}, estimated"
    large = [name for name, peak in peaks.items() if peak > room]
    if not large:
        return Finding("models", text)
    return Finding(
        "models",
        text,
        "slow",
        "let the settings be chosen for the memory that is free",
        f"localprompt ask -m {large[0]} --max-memory {room // MIB}MiB 'Hello'",
    )


def of_power(facts: Machine) -> Iterator[Finding]:
    """Is the CPU allowed to be fast?"""
    if facts.governor is not None:
        slow = _SLOW_GOVERNORS & set(facts.governor.split("+"))
        yield Finding(
            "governor",
            f"{facts.governor}: the CPU may not reach its full speed" if slow else facts.governor,
            "slow" if slow else "ok",
            command="sudo cpupower frequency-set -g performance" if slow else "",
        )
    if facts.on_battery:
        yield Finding("power", "on battery: speed may be limited", "slow", "plug it in")


def of_disk(folder: str, free_bytes: int, rotating: bool | None) -> Finding:
    """Is there room at home, and does it lie on a disk that seeks?"""
    elsewhere = "export LOCALPROMPT_HOME=/path/on/another/disk"
    room = f"{folder} ({format_bytes(free_bytes)} free)"
    if free_bytes < FEWEST_FREE_BYTES:
        return Finding("home", room, "slow", "free some space, or move to another disk", elsewhere)
    if rotating:
        text = f"{room}, on a rotating disk: first loads are slow"
        return Finding("home", text, "slow", "move to a solid-state disk", elsewhere)
    return Finding("home", room)


def of_privacy(home: Path, is_open: bool) -> Iterator[Finding]:
    """Can other users of this machine look into the history?"""
    if is_open:
        yield Finding(
            "privacy",
            f"other users of this machine can look into {home}",
            "slow",
            "close it; for models that all use there is the shared store",
            f"chmod -R go= {shlex.quote(str(home))}",
        )


def unreadable(store: Path, entries: Collection[ModelEntry]) -> Path | None:
    """The first thing of the shared store that this user cannot read."""
    folders = (store, store / "models")
    for path in (*(f for f in folders if os.path.lexists(f)), *(e.card.weights for e in entries)):
        if not os.access(path, os.R_OK | (os.X_OK if path in folders else 0)):
            return path
    return None


def of_shared(store: Path, closed: Path | None, models: int) -> Iterator[Finding]:
    """What is in the store for all users, and can this one read it?

    Args:
        closed: what cannot be read of it.
    """
    if closed is not None:
        yield Finding(
            "shared",
            f"{store}: {closed} cannot be read by this user",
            "broken",
            "who keeps the store opens it",
            f"sudo chmod -R a+rX {shlex.quote(str(store / 'models'))}",
        )
    elif store.is_dir():
        count = "1 model" if models == 1 else f"{models or 'no'} models"
        yield Finding("shared", f"{store}: {count} for all users")
    elif store != paths.USUAL_SHARED:  # somebody has named it
        yield Finding(
            "shared",
            f"{store} is not there",
            "broken",
            f"mend {paths.SHARED_VARIABLE} or shared in the configuration",
            "localprompt config show",
        )


def of_others(warnings: Collection[RunWarning]) -> Iterator[Finding]:
    """What else went on while everything was looked at; battery is said by :func:`of_power`."""
    for warning in warnings:
        if warning.code != "on_battery":
            yield Finding("load", warning.message, "slow", warning.advice)
