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
    """Of one sequence, in one batch."""
    depth: int
    """Tokens before them in the KV cache."""
    seconds: float
    """CPU time of a layer of attention with its small products; the fastest of some times."""


class AttentionTable(msgspec.Struct, frozen=True):
    """For one build, CPU, shape of heads, and types of the KV cache; computed with one thread."""

    costs: tuple[AttentionCost, ...]
    seconds: float
    """What measuring took."""
