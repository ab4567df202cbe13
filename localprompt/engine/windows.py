"""What goes through a model in one training step.

A training context is a multiple of CONTEXT_STEP: llama.cpp rounds its cache up to it, and the
training graph wants a cache of exactly the window's length.
"""

from __future__ import annotations

import msgspec


class Window(msgspec.Struct, frozen=True):
    """Examples one after another, filled up to the length of the context.

    All tuples but ``lengths`` have one item for each position.
    """

    token_ids: tuple[int, ...]
    labels: tuple[int, ...]
    """The token that follows each position."""
    counted: tuple[bool, ...]
    """Whether the loss looks at this position."""
    lengths: tuple[int, ...]
    """Positions of each example; what is behind the last is filling."""


class WindowLoss(msgspec.Struct, frozen=True):
    """How well the model foresaw what was counted."""

    loss_sum: float
    """Nats, summed over the counted positions."""
    counted: int
    correct: int
    """Counted positions where the right token was the most probable one."""
