"""``--fail-if 'pass_rate < 0.9'``: what an evaluation must not come to, for CI.

A condition is held against every target; one that meets it is enough. A figure that is not known
(everything unscored, no closed set of answers) fails as well: nothing showed that it is good.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from localprompt.errors import InputError, UnknownNameError
from localprompt.records.evaluation import (
    EvalComparison,
    EvalResult,
    TargetComparison,
    TargetSummary,
)
from localprompt.stats.samples import Interval

FIGURES = ("pass_rate", "score", "failed", "errors", "unscored", "accuracy", "macro_f1")

_CONDITION = re.compile(r"\s*(.+?)\s*(>=|<=|>|<)\s*(\d+(?:\.\d+)?)\s*(%?)\s*", re.ASCII)


class Condition(msgspec.Struct, frozen=True):
    """One condition on one figure."""

    text: str
    figure: str
    """One of FIGURES, or the name of a metric."""
    operator: str
    limit: float


def parse_condition(text: str) -> Condition:
    """``pass_rate < 0.9``, ``pass_rate < 90%``, ``tone <= 0.5`` for a metric ``tone``.

    Raises:
        InputError: it is no condition.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise InputError(
            "this is no condition",
            where="--fail-if",
            expected="FIGURE < NUMBER, as 'pass_rate < 0.9'",
            found=repr(text),
        )
    figure, operator, number, percent = match.groups()
    limit = float(number) / 100 if percent else float(number)
    return Condition(text.strip(), figure, operator, limit)


def met(condition: Condition, result: EvalResult) -> Iterator[str]:
    """For each target that meets the condition, what was found.

    Raises:
        UnknownNameError: no target has such a figure.
    """
    metrics = {name for summary in result.targets for name in summary.metrics}
    if condition.figure not in FIGURES and condition.figure not in metrics:
        raise UnknownNameError(
            f"there is no figure {condition.figure!r}",
            where="--fail-if",
            nearest=(*FIGURES, *sorted(metrics)),
        )
    for summary in result.targets:
        value = _value(condition.figure, summary)
        if value is None or _holds(value, condition):
            shown = "not known" if value is None else f"{value:.4g}"
            name = f"{summary.target.prompt}, {summary.target.model.name}"
            yield f"{condition.text}: {shown} ({name})"


def _holds(value: float, condition: Condition) -> bool:
    match condition.operator:
        case "<":
            return value < condition.limit
        case "<=":
            return value <= condition.limit
        case ">":
            return value > condition.limit
        case _:
            return value >= condition.limit


def _value(figure: str, summary: TargetSummary) -> float | None:
    found = summary.classification
    match figure:
        case "pass_rate":
            return summary.passes.rate
        case "score":
            return summary.score.mean
        case "failed" | "errors" | "unscored":
            return float(getattr(summary.passes, figure))
        case "accuracy":
            return found.accuracy if found else None
        case "macro_f1":
            return found.macro_f1 if found else None
    metric = summary.metrics.get(figure)
    return metric.mean if metric else None


_CHANGE = re.compile(r"\s*(.+?)\s*(>=|<=|>|<)\s*([+-]?\d+(?:\.\d+)?)\s*(%?)\s*", re.ASCII)


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
    match = _CHANGE.fullmatch(text)
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
