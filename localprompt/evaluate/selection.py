"""Which of a suite's cases are run: all, those that failed before, a limited number of them.

Chosen in one pass and without holding the cases, so that a choice from a file that is larger than
memory works as from a small one.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator

import msgspec

from localprompt.sources.suite.records import EvalCase


def part_of(case_id: str, of: int) -> int:
    """The part, from 1, that a case belongs to where there are ``of`` of them: by its id alone."""
    digest = hashlib.sha256(case_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % of + 1


class Selection(msgspec.Struct, frozen=True):
    """A choice of cases that comes out the same on every pass."""

    limit: int | None = None
    drawn: frozenset[int] | None = None
    """Positions among the candidates, where they are drawn by lot."""
    ids: frozenset[str] | None = None
    """Only these cases are candidates; None: all."""
    shard: tuple[int, int] | None = None
    """Of the chosen ones only this part of so many; None: all."""

    @property
    def whole(self) -> Selection:
        """The choice that all parts are of."""
        return msgspec.structs.replace(self, shard=None)

    def of(self, cases: Iterable[EvalCase]) -> Iterator[EvalCase]:
        """The chosen ones, in the suite's order."""
        position = taken = 0
        for case in cases:
            if self.limit is not None and taken >= self.limit:
                return
            if self.ids is not None and case.id not in self.ids:
                continue
            if self.drawn is None or position in self.drawn:
                if self.shard is None or part_of(case.id, self.shard[1]) == self.shard[0]:
                    yield case
                taken += 1
            position += 1


def select(
    count: int,
    *,
    limit: int | None = None,
    shuffle: bool = False,
    seed: int = 0,
    ids: frozenset[str] | None = None,
    shard: tuple[int, int] | None = None,
) -> Selection:
    """A choice from ``count`` cases.

    Args:
        limit: at most so many.
        shuffle: draw them by lot; the first ones otherwise. They are run in the suite's order
            either way, because neighbours share most of their prompts.
        ids: candidates; None: all cases.
        shard: a part and how many there are; see :mod:`localprompt.evaluate.shards`.
    """
    candidates = count if ids is None else len(ids)
    drawn = None
    if shuffle and limit is not None and limit < candidates:
        drawn = frozenset(random.Random(seed).sample(range(candidates), limit))  # noqa: S311
    return Selection(limit, drawn, ids, shard)
