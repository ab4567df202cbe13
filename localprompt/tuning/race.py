"""Successive halving: everybody runs a little, the better half runs more; pure.

After each round the slower half is out, and so is whoever is far behind the leader, at once: a
candidate that takes half as long again after one run does not win by running five times. The last
ones get the most runs, where differences are small. One candidate can be kept in to the end, as
what the others are compared with (docs/decisions).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from localprompt.stats.samples import median

ROUNDS = (1, 2, 3)
"""Further runs of each candidate in each round."""
_HOPELESS = 1.5
"""Times the leader's seconds."""

T = TypeVar("T")

RunMore = Callable[[T, int], Sequence[float] | None]
"""Run a candidate so many times more: seconds of each run; None: it failed."""


class Standing(msgspec.Struct, frozen=True):
    """How one candidate came out."""

    seconds: tuple[float, ...]
    """Of all its runs."""
    rounds: int
    """How many it was in."""
    failed: bool = False

    @property
    def median(self) -> float:
        return median(self.seconds)


def race(
    candidates: Mapping[str, T],
    run_more: RunMore[T],
    *,
    kept: str | None = None,
    rounds: Sequence[int] = ROUNDS,
    seed: int = 0,
) -> dict[str, Standing]:
    """Let candidates compete.

    Args:
        candidates: by key.
        kept: the key of one that stays in to the end, however slow.
        seed: of the order within rounds, which differs from round to round.

    Returns:
        how each came out, from the fastest; whoever was in more rounds comes before whoever was
        not, and failures come last.
    """
    order = random.Random(seed)  # noqa: S311
    seconds: dict[str, list[float]] = {key: [] for key in candidates}
    survived = dict.fromkeys(candidates, 0)
    failed: set[str] = set()
    alive = list(candidates)
    for times in rounds:
        order.shuffle(alive)
        for key in list(alive):
            taken = run_more(candidates[key], times)
            if taken is None:
                failed.add(key)
                alive.remove(key)
            else:
                seconds[key].extend(taken)
                survived[key] += 1
        alive = _going_on(alive, seconds, kept)
        if len(set(alive) - {kept}) == 0:
            break
    ranked = sorted(
        candidates,
        key=lambda key: (
            key in failed,
            -survived[key],
            median(seconds[key]) if seconds[key] else 0,
        ),
    )
    return {
        key: Standing(tuple(seconds[key]), survived[key], failed=key in failed) for key in ranked
    }


def _going_on(
    alive: Sequence[str], seconds: Mapping[str, Sequence[float]], kept: str | None
) -> list[str]:
    ranked = sorted(alive, key=lambda key: median(seconds[key]))
    if not ranked:
        return []
    leader = median(seconds[ranked[0]])
    rivals = [key for key in ranked if key != kept]
    better = rivals[: -(-len(rivals) // 2)]
    going = [key for key in better if median(seconds[key]) <= _HOPELESS * leader]
    return [*going, *([kept] if kept in alive and kept is not None else [])]
