"""From the scores of one case to its result, by promptfoo's rules.

The case's score is the mean of its scores, weighted. It passes if every score passes; with a
threshold it passes if the weighted mean reaches it, whatever the single scores say. An
``assert-set`` is such a case in small. A score of weight 0 only records its metric.

Unscored scores change nothing that is certain without them: a case with one failed score has
failed, and one whose threshold is reached even if the unscored ones were 0 has passed. What they
leave open stays open (None). A case without assertions is unscored, too: nothing was checked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from localprompt.records.score import CaseScore, ExpectationSet, MetricTotal, Score

_SLACK = 1e-12
"""Weighted means of the same numbers may differ in the last bits; a threshold must not notice."""


def aggregate(scores: Sequence[Score], threshold: float | None = None) -> CaseScore:
    """The result of a case that has ``scores``; ``threshold`` is the case's own."""
    score, passed, reason = _combine(scores, threshold)
    return CaseScore(
        score=score,
        passed=passed,
        reason=reason,
        scores=tuple(scores),
        metrics=sum_metrics(scores),
    )


def combine_set(expected: ExpectationSet, members: Sequence[Score]) -> Score:
    """The score of an ``assert-set`` whose members have these scores."""
    score, passed, reason = _combine(members, expected.threshold)
    if expected.weight == 0 and passed is not None:
        passed = True
    return Score(
        type="assert-set",
        score=score,
        passed=passed,
        reason=reason,
        metric=expected.metric,
        weight=expected.weight,
        members=tuple(members),
        where=expected.where,
    )


def with_comparison(result: CaseScore, compared: Score) -> CaseScore:
    """``result`` after ``select-best``, which is known only when all answers are.

    As in promptfoo, a comparison does not enter the mean: losing it fails the case and sets its
    score to that of the comparison, winning it leaves the case as it was.
    """
    scores = (*result.scores, compared)
    metrics = sum_metrics(scores)
    if compared.passed is None:
        passed = False if result.passed is False else None
        return msgspec.structs.replace(
            result,
            passed=passed,
            score=result.score if passed is False else None,
            reason=result.reason if passed is False else compared.reason,
            scores=scores,
            metrics=metrics,
        )
    if compared.passed and result.scores:
        return msgspec.structs.replace(result, scores=scores, metrics=metrics)
    # Lost, or there was nothing but this comparison.
    return CaseScore(compared.score, compared.passed, compared.reason, scores, metrics)


def sum_metrics(scores: Iterable[Score]) -> dict[str, MetricTotal]:
    """Totals per metric, members of sets included, each with its own weight.

    A weight of 0 takes a score out of the case, not out of its metric, so it counts as 1 here.
    """
    totals: dict[str, MetricTotal] = {}
    for score in scores:
        if score.metric is not None:
            total = totals.get(score.metric, MetricTotal(0.0, 0.0))
            weight = score.weight or 1.0
            if score.score is None:
                total = msgspec.structs.replace(total, unscored=total.unscored + 1)
            else:
                total = msgspec.structs.replace(
                    total,
                    weighted_sum=total.weighted_sum + score.score * weight,
                    weight=total.weight + weight,
                )
            totals[score.metric] = total
        for name, inner in sum_metrics(score.members).items():
            total = totals.get(name, MetricTotal(0.0, 0.0))
            totals[name] = MetricTotal(
                total.weighted_sum + inner.weighted_sum,
                total.weight + inner.weight,
                total.unscored + inner.unscored,
            )
    return totals


def _combine(
    scores: Sequence[Score], threshold: float | None
) -> tuple[float | None, bool | None, str]:
    counting = [score for score in scores if score.weight > 0]
    if not counting:
        return _only_metrics(scores)
    total = math.fsum(score.weight for score in counting)
    known = math.fsum(s.score * s.weight for s in counting if s.score is not None) / total
    open_share = math.fsum(s.weight for s in counting if s.score is None) / total
    mean = known if open_share == 0 else None
    unscored = next((score for score in counting if score.passed is None), None)
    if threshold is not None:
        if known >= threshold - _SLACK:
            return mean, True, f"score {known:.2f}, threshold {threshold:g}"
        if unscored is None or known + open_share < threshold - _SLACK:
            return mean, False, f"score {known + open_share:.2f}, threshold {threshold:g}"
        return mean, None, f"{unscored.type} is unscored: {unscored.reason}"
    failed = next((score for score in counting if score.passed is False), None)
    if failed is not None:
        return mean, False, f"{failed.type}: {failed.reason}"
    if unscored is not None:
        return mean, None, f"{unscored.type} is unscored: {unscored.reason}"
    return mean, True, "all assertions passed"


def _only_metrics(scores: Sequence[Score]) -> tuple[float | None, bool | None, str]:
    """No score counts: nothing can fail, and there is nothing to take a mean of."""
    if not scores:
        return None, None, "no assertions"
    return None, True, "only metrics, which cannot fail"
