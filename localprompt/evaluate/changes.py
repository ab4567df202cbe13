"""``compare --fail-if 'pass_rate < 0'``: how B must not differ from A, for CI.

A condition is on the difference B - A and fails only where its whole 95 % interval confirms it:
``pass_rate < -2%`` needs the interval to end below -0.02.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from localprompt.errors import InputError, UnknownNameError
from localprompt.records.evaluation import EvalComparison, TargetComparison
from localprompt.stats.samples import Interval

_CONDITION = re.compile(r"\s*(.+?)\s*(>=|<=|>|<)\s*([+-]?\d+(?:\.\d+)?)\s*(%?)\s*", re.ASCII)


class Change(msgspec.Struct, frozen=True):
    """A condition on a difference."""

    text: str
    figure: str
    """``pass_rate``, ``score``, or the name of a metric."""
    above: bool
    limit: float


def parse_change(text: str) -> Change:
    """``pass_rate < 0``, ``score < -0.05``, ``pass_rate < -2%``.

    Raises:
        InputError: it is no condition.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise InputError(
            "this is no condition",
            where="--fail-if",
            expected="FIGURE < DIFFERENCE, as 'pass_rate < 0' or 'score < -0.05'",
            found=repr(text),
        )
    figure, operator, number, percent = match.groups()
    limit = float(number) / 100 if percent else float(number)
    return Change(text.strip(), figure, operator.startswith(">"), limit)


def confirmed(change: Change, comparison: EvalComparison) -> Iterator[str]:
    """For each pair that confirms the condition, what was found.

    Raises:
        UnknownNameError: no pair has such a figure.
    """
    figures = {name for pair in comparison.pairs for name in _intervals(pair)}
    if comparison.pairs and change.figure not in figures:
        raise UnknownNameError(
            f"there is no figure {change.figure!r}", where="--fail-if", nearest=tuple(figures)
        )
    for pair in comparison.pairs:
        interval = _intervals(pair).get(change.figure)
        if interval is None:
            continue
        if interval.low > change.limit if change.above else interval.high < change.limit:
            name = f"{pair.b.prompt}, {pair.b.model.name}"
            yield f"{change.text}: {interval.low:+.3f} to {interval.high:+.3f} ({name})"


def _intervals(pair: TargetComparison) -> dict[str, Interval | None]:
    found = {name: one.interval for name, one in pair.metrics.items()}
    if pair.score is not None:
        found["score"] = pair.score.interval
    if pair.passes is not None:
        found["pass_rate"] = pair.passes.interval
    return found
