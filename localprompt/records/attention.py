"""What attention takes on a machine, with flash attention and without, as it was measured once.

Apart from what measures (:mod:`localprompt.engine.llama.proof.attention`), because every request
reads a table and hardly one makes it.
"""

from __future__ import annotations

import msgspec


class Heads(msgspec.Struct, frozen=True):
    """What the time of attention depends on, beside build and CPU."""

    n_head: int
    n_head_kv: int
    key_length: int
    value_length: int
    type_k: str
    type_v: str


class AttentionCost(msgspec.Struct, frozen=True):
    """One measured point."""

    flash_attn: bool
    tokens: int
    """Of each sequence, in one batch."""
    depth: int
    """Tokens before them in the KV cache; where there are several sequences, each has its own."""
    seconds: float
    """Of the whole batch; the fastest of some times."""
    sequences: int = 1
    apart: bool = False
    """Whether each sequence has cells of its own; else all lie in the same ones."""


class AttentionTable(msgspec.Struct, frozen=True):
    """For one build, CPU, shape of heads, and types of the KV cache."""

    costs: tuple[AttentionCost, ...]
    seconds: float
    """What measuring took."""
    whole_model: bool = False
    """Costs are seconds of the model itself, all of it, with the usual threads; else CPU seconds of
    one layer's attention with its small products, computed with one thread."""
    model: str | None = None
    """Whose costs they are, where they are a whole model's."""


class StepCost(msgspec.Struct, frozen=True):
    """What a model takes for a batch at the beginning of its context, where attention is little."""

    tokens: int
    seconds: float
