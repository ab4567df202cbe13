"""Seconds of attention for any batch, from the table that a machine was measured with; pure.

Attention of a layer takes for a batch of t tokens behind d others ``seconds(way, t, d)``,
interpolated in the table: in d between the measured depths and beyond the last by the same slope;
in t between the measured batches, except that flash attention's batches below 64 tokens are no
guide for those above. The model has as many layers as it has, so::

    attention(way, t, d)  =  layers × seconds(way, t, d)

All of it is CPU time of one thread; more of them share the parts alike, near enough for choosing.
Where a model itself was measured, its seconds hold everything else as well: that is what a batch
takes at depth 0 the faster way, and what is above it is attention.

A step of n sequences, one token of each, d tokens before it, differs by where those lie:

- **cells of its own** for each: as it was measured for 8 sequences behind 32 and 128 tokens each,
  and beyond those as much more as one token takes more::

      n × (several(way, apart, 128) ÷ 8  +  attention(way, 1, d) − attention(way, 1, 128))

- **in the same cells**, which hold o tokens of other sequences: without flash attention all tokens
  meet all cells as one product, ``attention(off, n, d + o)``; with it each token walks through its
  own and skips the others::

      n × (attention(on, 1, d)  +  o × skipped)
      skipped = (several(on, together, 128) − several(on, apart, 128)) ÷ (8 × 896)

  896 being the cells of the seven others in the measured batch. From 64 tokens on it works in
  tiles, and the first formula holds for both ways.

What 8 and 32 sequences behind 32 tokens each took, beyond what is counted so, is added: a share of
it for each sequence, read between 1 (nothing), 8 and 32 and the same beyond. A batch's costs that
do not grow with its sequences, and the output of all its tokens instead of one, are in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from localprompt.records.attention import AttentionTable, StepCost

TILE = 64
"""Tokens from which on flash attention works in tiles."""


def seconds(table: AttentionTable, flash_attn: bool, tokens: int, depth: int) -> float:
    """Of the table, for a batch of so many tokens of one sequence behind so many others."""
    one = [c for c in table.costs if c.flash_attn == flash_attn and c.sequences == 1]
    measured = sorted({c.tokens for c in one})
    if flash_attn:
        measured = [size for size in measured if (size < TILE) == (tokens < TILE)]
    points = []
    for size in measured:
        depths = sorted((c.depth, c.seconds) for c in one if c.tokens == size)
        points.append((size, line(depth, depths)))
    return line(tokens, points)


def line(x: float, points: Sequence[tuple[int, float]]) -> float:
    """Between two points on the line through them, beyond the last on that through the last two;
    never below nothing."""
    return max(0.0, between(x, points))


def between(x: float, points: Sequence[tuple[int, float]]) -> float:
    """The same, below nothing as well."""
    if len(points) == 1:
        return points[0][1]
    at = next((i for i in range(1, len(points) - 1) if x <= points[i][0]), len(points) - 1)
    (x0, y0), (x1, y1) = points[at - 1], points[at]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


_Measured = dict[int, list[tuple[int, float]]]
"""By the number of sequences: tokens before each of them, and the seconds of a batch."""


class Costs:
    """A model's, on this machine.

    Args:
        n_layer: its layers.
        steps: what it takes for batches at the beginning of its context; empty where that is not
            known, or the table knows it.
    """

    def __init__(self, table: AttentionTable, n_layer: int, steps: Sequence[StepCost] = ()) -> None:
        self._table = table
        self._layers = 1 if table.whole_model else n_layer
        self._steps = [(step.tokens, step.seconds) for step in steps]

    @property
    def knows_steps(self) -> bool:
        """Whether there is more than attention to go by."""
        return self._table.whole_model or bool(self._steps)

    def rest(self, tokens: int) -> float:
        """All that a batch of so many tokens takes beside attention; 0 where that is not known."""
        if self._table.whole_model:
            return min(seconds(self._table, way, tokens, 0) for way in (True, False))
        return line(tokens, self._steps) if self._steps else 0.0

    def attention(self, flash_attn: bool, tokens: int, depth: int) -> float:
        """Of a batch of one sequence."""
        found = self._layers * seconds(self._table, flash_attn, tokens, depth)
        return max(0.0, found - self.rest(tokens)) if self._table.whole_model else found

    def prompt(self, flash_attn: bool, start: int, end: int, n_ubatch: int) -> float:
        """Attention of a prompt's tokens from one position to another."""
        return sum(
            self.attention(flash_attn, min(n_ubatch, end - at), at)
            for at in range(start, end, n_ubatch)
        )

    def step(
        self, flash_attn: bool, sequences: int, depth: int, others: int, *, apart: bool
    ) -> float:
        """Attention of a batch with a token of each of some sequences.

        Args:
            depth: tokens before each.
            others: tokens of other sequences that lie in the same cells.
        """
        counted = self._counted_step(flash_attn, sequences, depth, others, apart=apart)
        return max(0.0, counted + sequences * self._uncounted(flash_attn, sequences, apart=apart))

    def _counted_step(
        self, flash_attn: bool, sequences: int, depth: int, others: int, *, apart: bool
    ) -> float:
        if sequences == 1 or (not apart and (not flash_attn or sequences >= TILE)):
            return self.attention(flash_attn, sequences, depth + (0 if apart else others))
        if not apart:
            one = self.attention(flash_attn, 1, depth)
            return sequences * (one + others * self._skipping())
        count, points = _fewest(self._several[flash_attn, True])
        deepest, measured = points[-1]
        if depth <= deepest:
            return sequences / count * line(depth, points)
        grown = self.attention(flash_attn, 1, depth) - self.attention(flash_attn, 1, deepest)
        return sequences * max(0.0, measured / count + grown)

    def _uncounted(self, flash_attn: bool, sequences: int, *, apart: bool) -> float:
        """What was measured of several sequences and is not counted, for each of so many."""
        shares = [(1, 0.0)]
        for count, points in self._several[flash_attn, apart].items():
            own, measured = points[0]
            others = 0 if apart else (count - 1) * own
            counted = self._counted_step(flash_attn, count, own, others, apart=apart)
            shares.append((count, (measured - counted) / count))
        return between(min(sequences, shares[-1][0]), shares)

    def _skipping(self) -> float:
        """What a token takes for a cell of another sequence, with flash attention."""
        count, points = _fewest(self._several[True, False])
        deepest, together = points[-1]
        _, (*_, (_, apart)) = _fewest(self._several[True, True])
        return max(0.0, together - apart) / (count * (count - 1) * deepest)

    @cached_property
    def _several(self) -> dict[tuple[bool, bool], _Measured]:
        """What batches of several sequences took, with flash attention or without and with cells of
        their own or not; those of the fewest sequences, which have two depths, first."""
        found: dict[tuple[bool, bool], _Measured] = {}
        for c in sorted(self._table.costs, key=lambda c: (c.sequences, c.depth)):
            if c.sequences > 1:
                rest = self.rest(c.sequences) if self._table.whole_model else 0.0
                seconds = max(0.0, self._layers * c.seconds - rest)
                of_kind = found.setdefault((c.flash_attn, c.apart), {})
                of_kind.setdefault(c.sequences, []).append((c.depth, seconds))
        return found


def _fewest(several: _Measured) -> tuple[int, list[tuple[int, float]]]:
    return next(iter(several.items()))
