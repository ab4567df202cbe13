"""The way in: one answer against its expectations.

``score_case`` is what an evaluation calls once per answer. ``select-best`` compares the answers
of all prompts and models to one case, so it is left out there; ``score_comparison`` makes those
scores when the answers are all there, and ``aggregate.with_comparison`` adds them to the cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from localprompt.records.score import (
    Answer,
    AnyExpectation,
    CaseScore,
    Expectation,
    ExpectationSet,
    Score,
)
from localprompt.scoring import (
    code_checks,
    json_checks,
    judging,
    script_checks,
    text_checks,
    tool_calls,
    xml_checks,
)
from localprompt.scoring.aggregate import aggregate, combine_set
from localprompt.scoring.expectations import CannotScoreError, Judge, Verdict
from localprompt.scoring.graded import graded, similar
from localprompt.scoring.kinds import GRADED, SIMILAR
from localprompt.scoring.task_checks import TASK_CHECKS

COMPARISON = "select-best"

Check = Callable[[Answer, Expectation], Verdict]

CHECKS: dict[str, Check] = {
    "equals": json_checks.equals,
    "contains": text_checks.contains,
    "icontains": text_checks.contains,
    "contains-all": text_checks.contains_all,
    "icontains-all": text_checks.contains_all,
    "contains-any": text_checks.contains_any,
    "icontains-any": text_checks.contains_any,
    "starts-with": text_checks.starts_with,
    "regex": text_checks.regex,
    "is-json": json_checks.is_json,
    "contains-json": json_checks.contains_json,
    "is-xml": xml_checks.is_xml,
    "contains-xml": xml_checks.contains_xml,
    "javascript": script_checks.javascript,
    "levenshtein": text_checks.levenshtein_distance,
    "rouge-n": text_checks.rouge,
    "bleu": text_checks.bleu_score,
    "gleu": text_checks.gleu_score,
    "word-count": text_checks.word_count,
    "finish-reason": text_checks.finish_reason,
    "latency": text_checks.latency,
    "is-valid-function-call": tool_calls.valid_call,
    "is-valid-openai-function-call": tool_calls.valid_call,
    "is-valid-openai-tools-call": tool_calls.valid_call,
    "tool-call-f1": tool_calls.tool_call_f1,
}


def score_case(
    answer: Answer,
    expectations: Sequence[AnyExpectation],
    threshold: float | None = None,
    *,
    judge: Judge | None = None,
    allow_code: bool = False,
) -> CaseScore:
    """All scores of one answer and the case's result; ``select-best`` is left out."""
    scores = [
        score(answer, expected, judge=judge, allow_code=allow_code)
        for expected in expectations
        if expected_type(expected) != COMPARISON
    ]
    return aggregate(scores, threshold)


def score(
    answer: Answer,
    expected: AnyExpectation,
    *,
    judge: Judge | None = None,
    allow_code: bool = False,
) -> Score:
    """What ``expected`` makes of ``answer``; unscored, with the reason, where it cannot tell.

    Args:
        judge: who answers ``llm-rubric``; None leaves it unscored.
        allow_code: whether ``python`` may run; otherwise it is unscored.
    """
    if isinstance(expected, ExpectationSet):
        members = [
            score(answer, member, judge=judge, allow_code=allow_code) for member in expected.members
        ]
        return combine_set(expected, members)
    try:
        verdict = _verdict(answer, expected, judge, allow_code)
    except CannotScoreError as error:
        return unscored(expected, str(error))
    return _scored(expected, verdict)


def score_comparison(
    answers: Sequence[Answer | None], expected: Expectation, judge: Judge | None
) -> tuple[Score, ...]:
    """``select-best`` over the answers to one case, one score each, in their order.

    An answer that is not there (None: its run failed) is unscored, and the others compete.
    """
    present = [answer for answer in answers if answer is not None]
    try:
        if judge is None:
            raise CannotScoreError("there is no model to judge")
        verdicts = iter(judging.select_best(present, expected, judge))
    except CannotScoreError as error:
        return tuple(unscored(expected, str(error)) for _ in answers)
    return tuple(
        unscored(expected, "there is no answer to compare")
        if answer is None
        else _scored(expected, next(verdicts))
        for answer in answers
    )


def unscored(expected: Expectation, reason: str) -> Score:
    return Score(
        type=expected.name,
        score=None,
        passed=None,
        reason=reason,
        metric=expected.metric,
        weight=expected.weight,
        where=expected.where,
    )


def unscored_any(expected: AnyExpectation, reason: str) -> Score:
    """The same for a set, too."""
    if isinstance(expected, Expectation):
        return unscored(expected, reason)
    members = tuple(unscored(member, reason) for member in expected.members)
    return combine_set(expected, members)


def expected_type(expected: AnyExpectation) -> str:
    return expected.type if isinstance(expected, Expectation) else "assert-set"


def _opposite(finding: str) -> str:
    """A finding in the words of an assertion that asks for the opposite."""
    before, expected, after = finding.partition("expected ")
    return (
        f"{before}expected anything but {after}" if expected else f"{finding}, which not- excludes"
    )


def _verdict(
    answer: Answer, expected: Expectation, judge: Judge | None, allow_code: bool
) -> Verdict:
    if expected.transform is not None:
        answer = script_checks.transformed(answer, expected.transform, expected.config)
    if expected.type == "python":
        if not allow_code:
            raise CannotScoreError("Python code is not allowed; --allow-code runs it")
        return code_checks.python(answer, expected)
    if expected.type == "cost":
        raise CannotScoreError("a local model has no price per token")
    if expected.type in GRADED | SIMILAR | {"llm-rubric"}:
        if judge is None:
            raise CannotScoreError("there is no model to judge")
        if expected.type in SIMILAR:
            return similar(answer, expected, judge)
        if expected.type in GRADED:
            return graded(answer, expected, judge)
        return judging.llm_rubric(answer, expected, judge)
    check = CHECKS.get(expected.type) or TASK_CHECKS.get(expected.type)
    if check is None:
        raise CannotScoreError(f"{expected.type} cannot be applied to a single answer")
    return check(answer, expected)


def _scored(expected: Expectation, verdict: Verdict) -> Score:
    graded = verdict.graded()
    turned = expected.negated and not verdict.as_it_is
    passed = verdict.met != turned
    return Score(
        type=expected.name,
        score=1 - graded if turned else graded,
        passed=passed or expected.weight == 0,
        reason=_opposite(verdict.finding) if turned else verdict.finding,
        metric=expected.metric,
        weight=expected.weight,
        where=expected.where,
    )
