"""``--fail-if 'ttft_seconds > 5%'``: what a comparison must not show, for CI.

A condition fails only where the interval of the difference confirms it: ``> 5%`` needs the whole
95 % interval of B / A above 1.05. A slow moment of the machine widens the interval and does not
fail a build; a condition with too few samples on either side cannot be judged, and says so.
Memory is measured once per cell, by the kernel and not by a clock: there the figure itself decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from localprompt.bench.comparing import MEMORY_METRICS
from localprompt.errors import InputError, UnknownNameError
from localprompt.records.bench import METRICS, BenchComparison, ComparisonRow
from localprompt.stats.samples import Interval
from localprompt.units import parse_bytes

_CONDITION = re.compile(r"\s*(\w+)\s*(>=|>|<=|<)\s*([+-]?\d+(?:\.\d+)?)\s*([^\d\s].*?)?\s*")
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0}
_EXPECTED = "METRIC > 5%, METRIC < -5%, or a difference with its unit: ttft_seconds > 50ms"
_KNOWN = (*METRICS, *MEMORY_METRICS)

Outcome = Literal["fails", "holds", "cannot be judged"]


class Threshold(msgspec.Struct, frozen=True):
    """One condition; the change is that of B against A."""

    text: str
    metric: str
    above: bool
    """True: fails when the change is larger than ``limit``; False: when it is smaller."""
    limit: float
    """A share of A (0.05 for 5 %), or a difference in the metric's unit."""
    relative: bool


class Judgement(msgspec.Struct, frozen=True):
    threshold: Threshold
    row: ComparisonRow
    outcome: Outcome


def parse_threshold(text: str) -> Threshold:
    """``ttft_seconds > 5%`` and the like.

    Raises:
        InputError: not a condition, or a unit that the metric does not have.
        UnknownNameError: no such metric; with the nearest names.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise InputError(
            "this is no condition", where="--fail-if", expected=_EXPECTED, found=repr(text)
        )
    metric, operator, number, unit = match.groups()
    if metric not in _KNOWN:
        from difflib import get_close_matches

        near = tuple(get_close_matches(metric, _KNOWN, n=3, cutoff=0.4)) or _KNOWN
        raise UnknownNameError(f"no metric is called {metric!r}", nearest=near, where="--fail-if")
    relative = unit == "%"
    limit = float(number) / 100 if relative else _absolute(metric, number, unit, text)
    return Threshold(text.strip(), metric, operator.startswith(">"), limit, relative)


def judge(comparison: BenchComparison, thresholds: Sequence[Threshold]) -> Iterator[Judgement]:
    """Every condition on every cell that has its metric."""
    for threshold in thresholds:
        for row in comparison.rows:
            if row.metric == threshold.metric:
                yield Judgement(threshold, row, _outcome(threshold, row))


def _outcome(threshold: Threshold, row: ComparisonRow) -> Outcome:
    change = _change(threshold, row)
    if change is None:
        return "cannot be judged"
    confirmed = change.low > threshold.limit if threshold.above else change.high < threshold.limit
    return "fails" if confirmed else "holds"


def _change(threshold: Threshold, row: ComparisonRow) -> Interval | None:
    """The interval of the change, in the unit of the limit."""
    comparison = row.comparison
    if row.metric in MEMORY_METRICS:
        if not threshold.relative:
            return Interval(comparison.difference, comparison.difference)
        change = None if comparison.ratio is None else comparison.ratio - 1
        return None if change is None else Interval(change, change)
    if not threshold.relative:
        return comparison.difference_interval
    ratio = comparison.ratio_interval
    return Interval(ratio.low - 1, ratio.high - 1) if ratio else None


def _absolute(metric: str, number: str, unit: str | None, text: str) -> float:
    if metric.endswith("_seconds"):
        factor = _SECONDS.get(unit or "")
    elif metric.endswith("_bytes"):
        sign = -1.0 if number.startswith("-") else 1.0
        try:
            return sign * parse_bytes(number.lstrip("+-") + (unit or ""))
        except ValueError:
            factor = None
    else:
        factor = 1.0 if unit in (None, "tok/s") else None
    if factor is None:
        raise InputError(
            "a difference needs the unit of its metric",
            where="--fail-if",
            expected="%, s, ms, MiB or tok/s",
            found=repr(text),
        )
    return float(number) * factor
