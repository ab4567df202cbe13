"""What attention takes on this CPU, with flash attention and without: measured once, and kept.

Attention does not read the model's weights, so that a model of two layers with the same heads, and
hardly anything beside them, takes as long for it in each layer as the real one. A child process
(:mod:`localprompt.engine.llama.proof.attention_child`) evaluates batches of it, both ways. It takes
a second or two, once for each build, CPU, shape and types of the KV cache, before the first request
for which it matters. ``doctor --measure`` measures a model itself, which takes longer; its table
then counts instead of that of its shape. All lie beside the verdict.

A table that contradicts itself (a token behind 2,048 others that is faster than the first one) was
measured while something else ran: it is measured once more, and if that is no better, llama.cpp's
own choice stays. That nothing came of it is kept for an hour: not every request tries again.

Files have the form of what is measured in their names: those of another version are not looked at.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from localprompt.engine.llama.proof import gate, tiny
from localprompt.engine.llama.proof.attention_child import (
    BATCHES,
    DEPTHS,
    SEVERAL,
    Measure,
    Measured,
)
from localprompt.errors import LocalPromptError
from localprompt.files import replace_file
from localprompt.processes import Child, worker_command
from localprompt.records.attention import AttentionCost, AttentionTable, Heads, StepCost
from localprompt.records.json import decode_as

SECONDS = 30.0
"""After which the child is ended: this machine has no time for it now."""
SECONDS_BETWEEN_TRIES = 3600.0
"""From a measurement of which nothing came to the next one, unless somebody asks for it."""
_CHILD = "localprompt.engine.llama.proof.attention_child"
_ATTEMPTS = 2
_LAYERS = 2
_MODEL_TOKENS = 64
"""Of a real model's vocabulary, so many are used; every one has more."""
_TOLERATED = 0.9
"""Deeper, or more tokens, may look so much faster before it is a contradiction."""

T = TypeVar("T")


class OfModel(msgspec.Struct, frozen=True):
    """What the time of a whole model depends on, beside build and CPU."""

    sha256: str
    type_k: str
    type_v: str
    threads: int
    repack: bool


class GivenUp(msgspec.Struct, frozen=True):
    """That a measurement led to nothing."""

    at_seconds: float
    """Since the epoch."""


def table(
    heads: Heads,
    *,
    model: OfModel | None = None,
    may_measure: bool = True,
    on_wait: Callable[[], None] = lambda: None,
) -> AttentionTable | None:
    """The table that is kept, that of the model itself first; or measured now, for its shape.

    Args:
        on_wait: called before it is measured, which takes seconds.

    Returns:
        None where there is none, nothing came of measuring it lately, or the gate is left out
        (:data:`gate.VARIABLE`).
    """
    if gate.verdict() is None:
        return None
    for facts in (model, heads):
        found = None if facts is None else _kept(path_of(facts), AttentionTable)
        if found is not None and not contradiction(found):
            return found
    if not may_measure or _tried_lately(_given_up_path(heads)):
        return None
    on_wait()
    return _believed(heads, lambda: measure(heads))


def measure_model(
    path: Path, model: OfModel, name: str, *, seconds: float
) -> AttentionTable | None:
    """Measure a model itself, and keep its table if it can be believed.

    Args:
        seconds: after which it is given up.
    """
    command = Measure(
        str(path),
        model.type_k,
        model.type_v,
        model.threads,
        _MODEL_TOKENS,
        on_the_wall=True,
        repack=model.repack,
    )

    def measured() -> AttentionTable | None:
        found = _asked(command, seconds)
        return None if found is None else msgspec.structs.replace(
            found, whole_model=True, model=name
        )  # fmt: skip

    return _believed(model, measured)


def kept() -> list[AttentionTable]:
    """All tables of this library on this CPU."""
    tables = (_kept(path, AttentionTable) for path in _files("-"))
    return [found for found in tables if found is not None]


def damaged() -> list[Path]:
    """Files that should be tables of this library on this CPU, and cannot be read or believed."""
    return [
        path
        for path in _files("-")
        if (found := _kept(path, AttentionTable)) is None or contradiction(found)
    ]


def given_up() -> int:
    """How many tables are not measured now, because nothing came of it lately."""
    return sum(map(_tried_lately, _files(".given-up-")))


def measure(heads: Heads) -> AttentionTable | None:
    """Measure in a child of its own, so that this process's memory stays what it was."""
    types = (("Q8_0",) * 7,) * _LAYERS
    shape = tiny.Shape(heads.n_head, heads.n_head_kv, heads.key_length, heads.value_length, types)
    try:
        with tempfile.TemporaryDirectory(prefix="localprompt-attention-") as folder:
            model = Path(folder) / "heads.gguf"
            model.write_bytes(tiny.gguf(shape))
            return _asked(Measure.of(heads, str(model), tiny.N_VOCAB, _LAYERS), SECONDS)
    except OSError:  # no room
        return None


def contradiction(found: AttentionTable) -> bool:
    """Whether a part of the table cannot be true, or is not there."""
    at = {(c.flash_attn, c.tokens, c.depth): c.seconds for c in found.costs if c.sequences == 1}
    several = {
        (c.flash_attn, c.apart, c.sequences, c.depth)
        for c in found.costs
        if c.tokens == 1 and c.depth in SEVERAL.get(c.sequences, ())
    }
    wanted = 4 * sum(map(len, SEVERAL.values()))
    if len(at) != 2 * len(BATCHES) * len(DEPTHS) or len(several) != wanted:
        return True
    return any(
        at[flash, tokens, DEPTHS[-1]] < _TOLERATED * at[flash, tokens, DEPTHS[0]]
        or at[flash, tokens, depth] < _TOLERATED * at[flash, BATCHES[0], depth]
        for flash in (True, False)
        for tokens in BATCHES
        for depth in DEPTHS
    )


def kept_steps(model: OfModel) -> tuple[StepCost, ...] | None:
    """What batches of a model take, where that was measured before."""
    return _kept(_steps_path(model), tuple[StepCost, ...])


def keep_steps(model: OfModel, steps: tuple[StepCost, ...]) -> None:
    with suppress(OSError):
        replace_file(_steps_path(model), msgspec.json.encode(steps))


def path_of(facts: Heads | OfModel) -> Path:
    """Where the table lies, or would."""
    return _file("-", facts)


def _given_up_path(facts: Heads | OfModel) -> Path:
    return _file(".given-up-", facts)


def _steps_path(model: OfModel) -> Path:
    return _file(".steps-", model)


def _file(kind: str, facts: Heads | OfModel) -> Path:
    digest = hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:12]
    verdict = gate.verdict_path()
    return verdict.with_name(f"{verdict.stem}{kind}{_FORM}-{digest}.json")


def _files(kind: str) -> list[Path]:
    verdict = gate.verdict_path()
    return sorted(verdict.parent.glob(f"{verdict.stem}{kind}{_FORM}-*.json"))


def _form() -> str:
    """A digest of which points are measured, and of what is known of each."""
    records = (Heads, OfModel, AttentionCost, AttentionTable, StepCost)
    fields = [record.__struct_fields__ for record in records]
    facts = (BATCHES, DEPTHS, SEVERAL, fields)
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:6]


_FORM = _form()


def _kept(path: Path, kind: type[T]) -> T | None:
    with suppress(OSError, msgspec.DecodeError):
        return decode_as(path.read_bytes(), kind)
    return None


def _tried_lately(path: Path) -> bool:
    found = _kept(path, GivenUp)
    return found is not None and 0 <= time.time() - found.at_seconds < SECONDS_BETWEEN_TRIES


def _believed(
    facts: Heads | OfModel, measured: Callable[[], AttentionTable | None]
) -> AttentionTable | None:
    """Measure until nothing contradicts, some times at most, and keep that; or keep that nothing
    came of it."""
    for _ in range(_ATTEMPTS):
        found = measured()
        if found is None:
            break
        if not contradiction(found):
            with suppress(OSError):
                replace_file(path_of(facts), msgspec.json.encode(found))
                _given_up_path(facts).unlink(missing_ok=True)
            return found
    with suppress(OSError):
        replace_file(_given_up_path(facts), msgspec.json.encode(GivenUp(time.time())))
    return None


def _asked(command: Measure, seconds: float) -> AttentionTable | None:
    """The child's answer; None: it had no time, or llama.cpp refused the model."""
    started = time.monotonic()
    try:
        child: Child[Measured] = Child(worker_command(_CHILD), Measured)
        try:
            reply = child.ask(command, seconds)
        finally:
            child.kill()
    except (OSError, TimeoutError, LocalPromptError):
        return None
    return AttentionTable(reply.costs, time.monotonic() - started)
