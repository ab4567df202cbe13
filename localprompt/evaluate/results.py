"""A case and its answer → its scored result."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from localprompt.evaluate.answering import Answered
from localprompt.evaluate.requests import Prepared
from localprompt.records.evaluation import CaseResult
from localprompt.records.score import Answer, AnyExpectation, CaseScore, Expectation, ExpectationSet
from localprompt.scoring.aggregate import with_comparison
from localprompt.scoring.closed import heaviest, shares, weigh
from localprompt.scoring.expectations import CannotScoreError, Judge
from localprompt.scoring.json_checks import as_value
from localprompt.scoring.score import COMPARISON, score_case, score_comparison, unscored_any
from localprompt.scoring.script_checks import transformed
from localprompt.scoring.task_checks import right_choice
from localprompt.scoring.tool_calls import with_calls
from localprompt.sources.suite.records import EvalCase

_WAITING = "waits for the answers to all cases"


def make_result(
    target: int,
    prepared: Prepared,
    answered: Answered | None,
    *,
    judge: Judge | None,
    allow_code: bool,
) -> CaseResult:
    """Score an answer; a case without one has failed, and says why."""
    case = prepared.case
    if answered is None:
        reason = str(prepared.error)
        failed = CaseScore(score=None, passed=False, reason=reason, scores=())
        return _result(target, prepared, "", failed, error=reason)
    timing = answered.timing
    answer = Answer(
        text=answered.text,
        finish_reason=answered.finish_reason,
        latency_seconds=timing.total_seconds if timing else None,
        prompt=prepared.text,
        vars=case.vars,
        choices=case.choices,
        log_probabilities=answered.log_probabilities or {},
        greedy=answered.greedy or (),
    )
    if prepared.as_json:
        answer = as_value(answer)
    if prepared.tools:
        answer = with_calls(msgspec.structs.replace(answer, tools=prepared.tools))
    try:
        for script in prepared.transforms:
            answer = transformed(answer, script)
    except CannotScoreError as error:
        reason = str(error)
        nothing = tuple(unscored_any(expected, reason) for expected in case.expectations)
        score = CaseScore(score=None, passed=None, reason=reason, scores=nothing)
    else:
        score = score_case(
            answer, case.expectations, case.threshold, judge=judge, allow_code=allow_code
        )
    return _result(target, prepared, answered.text, score, answered)


def waiting_result(target: int, prepared: Prepared, answered: Answered) -> CaseResult:
    """A closed answer that is chosen when those of all cases are there: unscored until then."""
    score = CaseScore(score=None, passed=None, reason=_WAITING, scores=())
    return _result(target, prepared, answered.text, score, answered)


def is_waiting(result: CaseResult) -> bool:
    return result.score.reason == _WAITING


def chosen_anew(
    result: CaseResult,
    case: EvalCase,
    bias: Mapping[str, float],
    *,
    judge: Judge | None,
    allow_code: bool,
) -> CaseResult:
    """The result with the choice that this bias leads to, scored."""
    weights = weigh(result.log_probabilities or {}, bias=bias)
    answer = Answer(
        text=heaviest(weights),
        finish_reason=result.finish_reason,
        latency_seconds=result.timing.total_seconds if result.timing else None,
        vars=case.vars,
    )
    score = score_case(
        answer, case.expectations, case.threshold, judge=judge, allow_code=allow_code
    )
    return msgspec.structs.replace(
        result, answer=answer.text, probabilities=shares(weights), score=score
    )


def has_comparison(case: EvalCase) -> bool:
    return any(isinstance(e, Expectation) and e.type == COMPARISON for e in case.expectations)


def chosen_among(case: EvalCase, rows: list[CaseResult], judge: Judge) -> list[CaseResult]:
    """The results of one case after its comparisons."""
    given = [None if row.error else Answer(row.answer, vars=row.vars) for row in rows]
    for expected in case.expectations:
        if isinstance(expected, Expectation) and expected.type == COMPARISON:
            verdicts = score_comparison(given, expected, judge)
            rows = [
                msgspec.structs.replace(row, score=with_comparison(row.score, verdict))
                for row, verdict in zip(rows, verdicts, strict=True)
            ]
    return rows


def is_compared(score: CaseScore) -> bool:
    return any(one.type.removeprefix("not-") == COMPARISON for one in score.scores)


def needs_time(case: EvalCase) -> bool:
    """Whether it asserts something about latency, which only a fresh answer has."""
    return any(member.type == "latency" for e in case.expectations for member in _members(e))


def _result(
    target: int,
    prepared: Prepared,
    answer: str,
    score: CaseScore,
    answered: Answered | None = None,
    error: str | None = None,
) -> CaseResult:
    case = prepared.case
    timing = answered.timing if answered else None
    return CaseResult(
        target=target,
        case_id=case.id,
        case_index=case.index,
        repetition=prepared.repetition,
        vars=case.vars,
        answer=answer,
        score=score,
        answer_key=prepared.key,
        description=case.description,
        prefix=case.prefix,
        suffix=case.suffix,
        token_ids_sha256=prepared.token_ids_sha256,
        finish_reason=answered.finish_reason if answered else None,
        prompt_tokens=len(prepared.token_ids) or None,
        completion_tokens=answered.completion_tokens if answered else None,
        timing=timing,
        cached=answered is not None and timing is None,
        expected=expected_text(case),
        probabilities=answered.probabilities if answered else None,
        log_probabilities=answered.log_probabilities if answered else None,
        greedy=answered.greedy if answered else None,
        error=error,
        machine=answered.machine if answered else None,
    )


def expected_text(case: EvalCase) -> str | None:
    """The one text that the answer should equal."""
    if case.choices:
        return right_choice(case.choices, case.expectations)
    texts = [
        e.value
        for e in case.expectations
        if isinstance(e, Expectation) and e.type == "equals" and not e.negated
    ]
    return texts[0] if len(texts) == 1 and isinstance(texts[0], str) else None


def _members(expected: AnyExpectation) -> tuple[Expectation, ...]:
    return expected.members if isinstance(expected, ExpectationSet) else (expected,)
