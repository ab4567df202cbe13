"""How fast could it be? The limits that memory and arithmetic set to one model on one machine.

The roofline model (Williams, Waterman and Patterson, CACM 52(4), 2009): a step that must move B
bytes and do F operations takes at least max(B / bandwidth, F / arithmetic), and the larger of the
two is what binds. B and F are counted as the least that any implementation has to do, so a share
of the limit says what an implementation leaves unused. Above 100 % the data was not where the
probe looked: a model small enough to stay in the last-level cache decodes faster than memory.

::

    decode, one token at position p     B = weights + kv · p
                                        F = 2 · (matrices + output) + 4 · layers · width · p
    prefill of n after r reused tokens  B = weights · ⌈n / n_ubatch⌉ + kv · (r + n)
                                        F = 2 · matrices · n + 2 · output
                                            + 4 · layers · width · (n · r + n (n + 1) / 2)

A multiplication and an addition are two operations. Attention takes two products per layer,
queries with keys and weights with values, each ``width`` multiply-adds a position, causal ones
only. Norms, rotations and softmax are left out, and logits are computed for the last token of
a prompt only, as llama.cpp does where no others are asked for.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

Binding = Literal["memory bandwidth", "arithmetic"]


class TokenWork(msgspec.Struct, frozen=True):
    """What the model's shape makes a token cost."""

    weight_bytes: int
    """Weights that a decoded token reads: every tensor but the token embedding, of which it
    reads one row; where embedding and output are tied, the matrix counts, as output."""
    matrix_parameters: int
    """Parameters of the layers' matrices; of a mixture of experts, those that a token uses."""
    output_parameters: int
    """Parameters of the output matrix: embedding length times vocabulary."""
    layers: int
    attention_width: int
    """Query heads times head size."""
    kv_bytes_per_position: float
    """Keys and values of one position over all layers: ``kv_cache_bytes / n_ctx``."""


class Ceilings(msgspec.Struct, frozen=True):
    """What the machine was seen to do at best (:mod:`localprompt.measure.probe`)."""

    bytes_per_second: float
    operations_per_second: float
    """Of matrix multiplication in this build, with the model's weight type."""


class Limit(msgspec.Struct, frozen=True):
    tokens_per_second: float
    """Estimated: no run can be faster, under the assumptions of this module."""
    binds: Binding
    """What has to get faster first."""

    def share(self, tokens_per_second: float | None) -> float | None:
        """A measured rate as a share of the limit."""
        return None if tokens_per_second is None else tokens_per_second / self.tokens_per_second


def decode_limit(
    work: TokenWork, ceilings: Ceilings, *, prompt_tokens: int, completion_tokens: int
) -> Limit:
    """The limit of the decode rate, over the tokens that the rate counts: all but the first."""
    # Cost grows linearly with the position, so the mean position gives the mean cost.
    position = prompt_tokens + completion_tokens / 2
    moved = work.weight_bytes + work.kv_bytes_per_position * position
    multiplied = 2 * (work.matrix_parameters + work.output_parameters)
    attended = 4 * work.layers * work.attention_width * position
    return _limit(1, moved, multiplied + attended, ceilings)


def prefill_limit(
    work: TokenWork, ceilings: Ceilings, *, tokens: int, reused_tokens: int = 0, n_ubatch: int
) -> Limit:
    """The limit of the prefill rate for ``tokens`` new ones after ``reused_tokens``.

    Raises:
        ValueError: there is nothing to prefill.
    """
    if tokens < 1:
        raise ValueError("a prefill of no tokens has no limit")
    weights = work.weight_bytes * math.ceil(tokens / n_ubatch)
    kv = work.kv_bytes_per_position * (reused_tokens + tokens)
    multiplied = 2 * work.matrix_parameters * tokens + 2 * work.output_parameters
    positions = tokens * reused_tokens + tokens * (tokens + 1) / 2
    attended = 4 * work.layers * work.attention_width * positions
    return _limit(tokens, weights + kv, multiplied + attended, ceilings)


def _limit(tokens: int, moved_bytes: float, operations: float, ceilings: Ceilings) -> Limit:
    moving = moved_bytes / ceilings.bytes_per_second
    computing = operations / ceilings.operations_per_second
    return Limit(
        tokens_per_second=tokens / max(moving, computing),
        binds="memory bandwidth" if moving >= computing else "arithmetic",
    )
