"""Successive halving over blocks of cases, paired by case; pure.

Everybody answers a small block; the better half answers the next, which is as large as all before
it together, and so on. Whoever is shown to be worse than the leader over the same cases is out at
once. One candidate, what the others are compared with, stays to the end.

With blocks of 1/8, 1/8, 1/4 and 1/2 of the cases a field of n costs about 12.5 + 6.25 + 6.25 + 6.25
of the full grid's 100 per cent; with a first block of 1/16 about half of that. docs/decisions/0058
says why not an F-race.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from localprompt.stats.paired import mcnemar

FIRST = 1 / 8
"""The share of the cases that everybody answers."""
SMALL_FIRST = 1 / 16
"""The same where that would cost too much."""
_LEAST_BLOCK = 8
_SURE = 0.05

T = TypeVar("T")
Values = Sequence[float | None]


class Run(msgspec.Struct):
    """How one candidate came through the race."""

    rounds: int = 0
    cases: int = 0
    value: float = -math.inf
    out: str | None = None
    """Why it was dropped; None: it ran to the end."""


def blocks(cases: Sequence[T], first: float = FIRST) -> Iterator[Sequence[T]]:
    """The cases in blocks that double what was answered; fewer of them where there are few cases.

    Args:
        first: the share of the cases that is the first block; a half, a quarter, ….
    """
    start, share = 0, first
    while share <= 1.0:
        end = round(len(cases) * share)
        if end - start >= _LEAST_BLOCK or share == 1.0:
            if end > start:
                yield cases[start:end]
            start = end
        share *= 2


def race(
    keys: Sequence[str],
    cases: Sequence[T],
    ask: Callable[[str, Sequence[T]], None],
    values: Callable[[str, Sequence[T]], Values],
    score: Callable[[str, Sequence[T]], float],
    *,
    kept: str,
    survivors: int = 2,
    first: float = FIRST,
    room: Callable[[int], bool] = lambda _: True,
    on_round: Callable[[Mapping[str, Run]], None] = lambda _: None,
) -> dict[str, Run]:
    """Let candidates compete.

    Args:
        keys: of the candidates.
        ask: has a candidate answer a block; raises to give one candidate up (ValueError).
        values: a candidate's value for each of these cases.
        score: what a candidate is ranked by over these cases.
        kept: the key of the one that stays in.
        survivors: at most so many others answer the last block; as few are not halved before.
        first: the share of the cases that all candidates answer.
        room: whether so many answers can still be paid for; where not, the race ends before the
            next block, and those who are left are ranked by what they have answered.

    Returns:
        by key, best first; whoever came further comes first.
    """
    runs = {key: Run() for key in keys}
    alive = list(keys)
    seen: list[T] = []
    rounds = list(blocks(cases, first))
    for number, block in enumerate(rounds, start=1):
        if not room(len(alive) * len(block)):
            break
        seen.extend(block)
        for key in list(alive):
            try:
                ask(key, block)
            except ValueError as error:
                runs[key].out = str(error)
                alive.remove(key)
                continue
            runs[key].rounds, runs[key].cases = number, len(seen)
            runs[key].value = score(key, seen)
        alive.sort(key=lambda key: -runs[key].value)
        if number < len(rounds):
            last = number == len(rounds) - 1
            most = survivors if last else max(survivors, math.ceil(len(alive) / 2))
            alive = _going_on(alive, runs, lambda key: values(key, seen), kept, most)
        on_round(runs)
    ranked = sorted(runs, key=lambda key: (-runs[key].rounds, -runs[key].value))
    return {key: runs[key] for key in ranked}


def _going_on(
    ranked: Sequence[str],
    runs: Mapping[str, Run],
    values: Callable[[str], Values],
    kept: str,
    most: int,
) -> list[str]:
    """Who answers the next block."""
    leader = values(ranked[0])
    going: list[str] = []
    for key in ranked:
        worse = _shown_worse(values(key), leader)
        if key == kept or (len(going) < most and not worse):
            going.append(key)
            continue
        reason = "shown to be worse" if worse else "behind"
        runs[key].out = f"{reason} after {runs[key].cases} cases"
    return going


def _shown_worse(mine: Values, leader: Values) -> bool:
    """Whether a candidate lost to the leader more often than chance would have it."""
    pairs = [(a, b) for a, b in zip(mine, leader, strict=True) if a is not None and b is not None]
    lost, won = sum(a < b for a, b in pairs), sum(a > b for a, b in pairs)
    return lost > won and mcnemar(won, lost) < _SURE
