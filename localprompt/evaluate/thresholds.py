"""``--fail-if 'pass_rate < 0.9'``: what an evaluation must not come to, for CI.

A condition is held against every target; one that meets it is enough. A figure that is not known
(everything unscored, no closed set of answers) fails as well: nothing showed that it is good.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from localprompt.records.condition import Condition
from localprompt.records.evaluation import (
    EvalComparison,
    EvalResult,
    TargetComparison,
    TargetSummary,
)
from localprompt.records.score import AnyExpectation, ExpectationSet
from localprompt.sources.suite.records import EvalCase
from localprompt.stats.samples import Interval

FIGURES = ("pass_rate", "score", "failed", "errors", "unscored", "accuracy", "macro_f1")
"""Of a target; the metrics of its suite come on top, by their names."""


def check(conditions: Sequence[Condition], cases: Iterable[EvalCase]) -> None:
    """Whether these conditions can be held against an evaluation of these cases. The cases are
    read only where a condition names what is not a figure of every evaluation.

    Raises:
        UnknownNameError: there is no such figure, and no metric of that name.
        InputError: a limit has a unit.
    """
    for condition in conditions:
        _ = condition.share
    if all(condition.figure in FIGURES for condition in conditions):
        return
    metrics = {name for case in cases for name in _metrics(case.expectations)}
    for condition in conditions:
        condition.check_figure((*FIGURES, *sorted(metrics)))


def _metrics(expectations: Iterable[AnyExpectation]) -> Iterator[str]:
    for one in expectations:
        if one.metric is not None:
            yield one.metric
        if isinstance(one, ExpectationSet):
            yield from _metrics(one.members)


def met(condition: Condition, result: EvalResult) -> Iterator[str]:
    """For each target that meets the condition, what was found.

    Raises:
        UnknownNameError: no target has such a figure.
    """
    metrics = {name for summary in result.targets for name in summary.metrics}
    condition.check_figure((*FIGURES, *sorted(metrics)))
    for summary in result.targets:
        value = _value(condition.figure, summary)
        if value is None or condition.met_by(value):
            shown = "not known" if value is None else f"{value:.4g}"
            name = f"{summary.target.prompt}, {summary.target.model.name}"
            yield f"{condition.text}: {shown} ({name})"


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


def confirmed(condition: Condition, comparison: EvalComparison) -> Iterator[str]:
    """For each pair that confirms the condition, what was found.

    Raises:
        UnknownNameError: no pair has such a figure.
    """
    figures = {name for pair in comparison.pairs for name in _intervals(pair)}
    if comparison.pairs:
        condition.check_figure(sorted(figures))
    limit = condition.share
    for pair in comparison.pairs:
        interval = _intervals(pair).get(condition.figure)
        if interval is None:
            continue
        if interval.low > limit if condition.above else interval.high < limit:
            name = f"{pair.b.prompt}, {pair.b.model.name}"
            yield f"{condition.text}: {interval.low:+.3f} to {interval.high:+.3f} ({name})"


def _intervals(pair: TargetComparison) -> dict[str, Interval | None]:
    found = {name: one.interval for name, one in pair.metrics.items()}
    if pair.score is not None:
        found["score"] = pair.score.interval
    if pair.passes is not None:
        found["pass_rate"] = pair.passes.interval
    return found
