"""``--fail-if 'ttft_seconds > 5%'``: what a comparison must not show, for CI.

A condition fails only where the interval of the difference confirms it: ``> 5%`` needs the whole
95 % interval of B / A above 1.05. A slow moment of the machine widens the interval and does not
fail a build; a condition with too few samples on either side cannot be judged, and says so.
Memory is measured once per cell, by the kernel and not by a clock: there the figure itself decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from localprompt.bench.comparing import MEMORY_METRICS
from localprompt.records.bench import METRICS, BenchComparison, ComparisonRow
from localprompt.records.condition import Condition
from localprompt.stats.samples import Interval

FIGURES = (*METRICS, *MEMORY_METRICS)

Outcome = Literal["fails", "holds", "cannot be judged"]


class Judgement(msgspec.Struct, frozen=True):
    condition: Condition
    row: ComparisonRow
    outcome: Outcome


def check(conditions: Sequence[Condition]) -> None:
    """Whether these conditions can be held against a comparison of benches.

    Raises:
        UnknownNameError: there is no such figure.
        InputError: a difference in a unit that its figure does not have.
    """
    for condition in conditions:
        condition.check_figure(FIGURES)
        _limit(condition)


def judge(comparison: BenchComparison, conditions: Sequence[Condition]) -> Iterator[Judgement]:
    """Every condition on every cell that has its metric."""
    for condition in conditions:
        for row in comparison.rows:
            if row.metric == condition.figure:
                yield Judgement(condition, row, _outcome(condition, row))


def _outcome(condition: Condition, row: ComparisonRow) -> Outcome:
    change = _change(condition, row)
    if change is None:
        return "cannot be judged"
    limit = _limit(condition)
    confirmed = change.low > limit if condition.above else change.high < limit
    return "fails" if confirmed else "holds"


def _change(condition: Condition, row: ComparisonRow) -> Interval | None:
    """The interval of the change, in the unit of the limit."""
    comparison = row.comparison
    if row.metric in MEMORY_METRICS:
        if not condition.relative:
            return Interval(comparison.difference, comparison.difference)
        change = None if comparison.ratio is None else comparison.ratio - 1
        return None if change is None else Interval(change, change)
    if not condition.relative:
        return comparison.difference_interval
    ratio = comparison.ratio_interval
    return Interval(ratio.low - 1, ratio.high - 1) if ratio else None


def _limit(condition: Condition) -> float:
    """A share of A, or a difference in the figure's unit."""
    return condition.share if condition.relative else condition.amount
