"""What a library of llama.cpp does on a CPU, as it was found out once and is kept.

Apart from what finds out (:mod:`localprompt.engine.llama.proof`), because every start of the
program reads a verdict, and none but the first needs more.
"""

from __future__ import annotations

import msgspec


class PathVerdict(msgspec.Struct, frozen=True):
    """How one path did."""

    wrong: str | None = None
    """What is wrong with it; None: it computes right."""
    error: float | None = None
    """The largest squared error of its rows of logits, as a share of the reference's square; None
    where it came to none, or to no number."""


class Proof(msgspec.Struct, frozen=True):
    """The verdict."""

    plain: PathVerdict
    """Weights as they lie in the file."""
    extra: PathVerdict
    """Weights in the buffer types that this CPU has beside the plain one (repacked, AMX)."""
    buffers: tuple[str, ...]
    """Buffer types that held weights on the extra path, as llama.cpp calls them."""
    seconds: float
    """What finding out took."""
