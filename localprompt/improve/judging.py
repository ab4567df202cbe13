"""Answers → values of a metric, under any way of weighing closed answers; pure.

Answers to closed questions are kept as log-probabilities. Every way of weighing them (raw, per
byte, calibrated, batch, fitted) is then arithmetic on what is there: no case is asked again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from localprompt.errors import InputError
from localprompt.improve.parts import label_of
from localprompt.records.evaluation import CaseResult
from localprompt.records.improvement import Standing, Weighing
from localprompt.records.score import Answer, CaseScore, Expectation
from localprompt.scoring.closed import batch_bias, fit, fitted_bias, habit, heaviest, weigh
from localprompt.scoring.json_checks import fields_right
from localprompt.scoring.score import score_case
from localprompt.sources.suite.records import EvalCase
from localprompt.stats.paired import mean_interval, wilson

HITS = "pass"
MACRO_F1 = "macro_f1"
FIELDS = "fields"
"""The share of an expected object's fields that are right."""
RAW = Weighing()
_LEAST_FITTED = 20
"""Labelled cases below which a bias is not fitted to them."""
_LOST = -5.0
"""The logarithm that a case counts for whose answer is an error."""

Results = Mapping[str, CaseResult]
"""By case id."""


class Judged(msgspec.Struct, frozen=True):
    """One case under one way of weighing."""

    case_id: str
    answer: str
    expected: str
    value: float | None
    """Of the metric, 0 to 1; for ``macro_f1`` whether it passed. None: could not be scored."""


def judged(
    cases: Sequence[EvalCase], results: Results, weighing: Weighing, metric: str
) -> list[Judged]:
    """The cases that have a result, in order."""
    return [
        _judged(case, results[case.id], weighing, metric) for case in cases if case.id in results
    ]


def standing(found: Sequence[Judged], metric: str) -> Standing:
    """What judged cases add up to."""
    values = [one.value for one in found if one.value is not None]
    if metric == MACRO_F1:
        return Standing(len(found), macro_f1([(one.expected, one.answer) for one in found]))
    if not values:
        return Standing(0, 0.0)
    mean = math.fsum(values) / len(values)
    binary = all(value in {0.0, 1.0} for value in values)
    interval = wilson(round(sum(values)), len(values)) if binary else mean_interval(values)
    return Standing(len(values), mean, interval)


def macro_f1(pairs: Sequence[tuple[str, str]]) -> float:
    """Mean F1 over the labels that were expected or given: (expected, answered) pairs."""
    labels = {label for expected, answered in pairs for label in (expected, answered)}
    scores = []
    for label in labels:
        both = sum(e == label for e, _ in pairs) + sum(a == label for _, a in pairs)
        scores.append(2 * sum(e == a == label for e, a in pairs) / both)
    return math.fsum(scores) / len(scores) if scores else 0.0


def weighings(
    cases: Sequence[EvalCase],
    results: Results,
    *,
    free: Mapping[str, float] | None = None,
    fitted: bool = True,
) -> list[Weighing]:
    """The ways of weighing that these cases lead to; raw is always the first.

    Args:
        cases: of the search part: what is learnt here is fixed from then on.
        free: the choices' log-probabilities after the prompt without content.
        fitted: whether the labels may be looked at, too.
    """
    logs = [
        (found.log_probabilities, label_of(case))
        for case in cases
        if (found := results.get(case.id)) is not None and found.log_probabilities
    ]
    if not logs or len(logs[0][0]) < 2:
        return [RAW]
    ways = [RAW]
    if len({len(choice.encode()) for choice in logs[0][0]}) > 1:
        ways.append(Weighing("normalized", per_byte=True))
    if free:
        ways.append(Weighing("calibrated", bias=habit(free)))
    ways.append(Weighing("batch", bias=batch_bias([one for one, _ in logs])))
    labelled = _labelled(cases, results)
    if fitted and len(labelled) >= _LEAST_FITTED and len({label for _, label in labelled}) > 1:
        bias = fitted_bias([one for one, _ in labelled], [label for _, label in labelled])
        ways.append(Weighing("fitted", bias=bias))
    return ways


def best_weighing(
    cases: Sequence[EvalCase], results: Results, ways: Sequence[Weighing], metric: str
) -> tuple[Weighing, list[Judged]]:
    """The way that does best on these cases, the simpler one of equals."""
    tried = [(way, judged(cases, results, way, metric)) for way in ways]
    return max(tried, key=lambda one: standing(one[1], metric).value)


def likelihood(cases: Sequence[EvalCase], results: Results, metric: str) -> float | None:
    """How probable the right choices are after these cases' prompts, habits aside; None where
    answers are free, or the metric asks for something else than the right one.

    Candidates are ranked by it: over the same cases it varies far less than the share of hits.
    """
    logs = _labelled(cases, results)
    if metric not in {HITS, MACRO_F1} or not logs:
        return None
    lost = sum(case.id in results for case in cases) - len(logs)
    found = fit([one for one, _ in logs], [label for _, label in logs]).likelihood
    return (found * len(logs) + _LOST * lost) / (len(logs) + lost)


def _labelled(cases: Sequence[EvalCase], results: Results) -> list[tuple[Mapping[str, float], str]]:
    """The choices' log-probabilities and the right one, of the cases that have both."""
    return [
        (found.log_probabilities, label)
        for case in cases
        if (found := results.get(case.id)) is not None
        and found.log_probabilities
        and (label := label_of(case)) in found.log_probabilities
    ]


def metric_for(cases: Sequence[EvalCase], asked: str | None) -> str:
    """What candidates are ranked by: what was asked for, or else what the cases suggest. Of an
    object a small model often has most fields right and all of them never: a search that counted
    whole objects would be blind.

    Raises:
        InputError: no case has the metric that was asked for.
    """
    objects = all(_expected_object(case) is not None for case in cases)
    if asked is None:
        return FIELDS if objects else HITS
    known = {
        member.metric
        for case in cases
        for expected in case.expectations
        for member in (expected, *getattr(expected, "members", ()))
        if member.metric
    }
    if asked not in {HITS, "score", MACRO_F1, FIELDS, *known}:
        raise InputError(
            "the cases have no metric of that name",
            where="--metric",
            expected=", ".join([HITS, "score", MACRO_F1, FIELDS, *sorted(known)]),
            found=asked,
        )
    if asked == MACRO_F1 and not all(map(label_of, cases)):
        raise InputError(
            "macro_f1 needs one expected answer in every case",
            where="--metric",
            expected="pass or score",
            found=asked,
        )
    if asked == FIELDS and not objects and asked not in known:
        raise InputError(
            "fields needs an expected object in every case",
            where="--metric",
            expected="pass or score",
            found=asked,
        )
    return asked


def _judged(case: EvalCase, result: CaseResult, weighing: Weighing, metric: str) -> Judged:
    answer, score = result.answer, result.score
    if result.log_probabilities:
        weights = weigh(result.log_probabilities, per_byte=weighing.per_byte, bias=weighing.bias)
        answer = heaviest(weights)
        if answer != result.answer:
            text = Answer(text=answer, vars=case.vars)
            score = score_case(text, case.expectations, case.threshold)
    return Judged(case.id, answer, label_of(case), _value(case, answer, score, metric, result))


def _value(
    case: EvalCase, answer: str, score: CaseScore, metric: str, result: CaseResult
) -> float | None:
    if result.error is not None:
        return 0.0
    if metric in {HITS, MACRO_F1}:
        return None if score.passed is None else float(score.passed)
    if metric == "score":
        return score.score
    if (total := score.metrics.get(metric)) is not None:
        return total.mean
    expected = _expected_object(case) if metric == FIELDS else None
    return None if expected is None else fields_right(answer, expected)


def _expected_object(case: EvalCase) -> Mapping[str, Any] | None:
    """The object that the answer has to be; None where nothing of the kind is expected."""
    for one in case.expectations:
        if isinstance(one, Expectation) and one.type == "equals" and not one.negated:
            return one.value if isinstance(one.value, Mapping) else None
    return None
