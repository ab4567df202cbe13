from __future__ import annotations

import pytest

from localprompt.records.score import Answer, Expectation
from localprompt.scoring.kinds import GRADED
from localprompt.scoring.score import score
from tests.scoring.test_judging import ScriptedJudge

ANSWER = Answer(
    "Lima", prompt="Capital of Peru?", vars={"context": "Peru's capital is Lima.", "query": "q?"}
)


@pytest.mark.parametrize(
    ("name", "reply", "verdict"),
    [
        ("factuality", '{"reason": "same", "category": "C"}', (True, 1)),
        ("model-graded-factuality", '{"reason": "no", "category": "D"}', (False, 0)),
        ("factuality", '{"reason": "?", "category": "F"}', (None, None)),
        ("model-graded-closedqa", '{"reason": "yes", "pass": true}', (True, 1)),
        ("model-graded-closedqa", '{"reason": "yes", "pass": "maybe"}', (None, None)),
        ("g-eval", '{"reason": "good", "score": 7}', (True, 0.7)),
        ("g-eval", '{"reason": "poor", "score": 6}', (False, 0.6)),
        ("g-eval", '{"reason": "?", "score": 70}', (None, None)),
        ("context-faithfulness", '{"reason": "all", "score": 10}', (True, 1)),
        ("context-recall", '{"reason": "none", "score": 0}', (True, 0)),
        ("context-relevance", "nonsense", (None, None)),
        ("answer-relevance", '{"reason": "all", "score": 9}', (True, 0.9)),
    ],
)
def test_a_local_judge_replies_under_a_schema(
    name: str, reply: str, verdict: tuple[bool | None, float | None]
) -> None:
    judge = ScriptedJudge(reply)
    found = score(ANSWER, Expectation(name, "Lima"), judge=judge)
    assert (found.passed, found.score) == verdict
    (asked,) = judge.asked
    assert {segment.source for segment in asked[1].segments} > {None}


def test_without_a_context_what_asks_for_one_is_unscored() -> None:
    found = score(Answer("a"), Expectation("context-recall", "x"), judge=ScriptedJudge("{}"))
    assert found.passed is None
    assert "no variable 'context'" in found.reason


@pytest.mark.parametrize("name", sorted(GRADED))
def test_without_a_judge_it_is_unscored(name: str) -> None:
    assert score(ANSWER, Expectation(name, "x")).passed is None


def test_cost_is_unscored_since_nothing_is_paid_for() -> None:
    found = score(ANSWER, Expectation("cost", threshold=0.1))
    assert (found.passed, found.reason) == (None, "a local model has no price per token")


@pytest.mark.parametrize(
    ("value", "options", "verdict"),
    [
        ("banana", {}, (True, 1.0)),
        ("xxx", {}, (False, 0.6)),
        (["xxx", "banana"], {}, (True, 1.0)),
        ("xxx", {"threshold": 0.5}, (True, 0.6)),
        ("xxx", {"negated": True}, (True, 0.4)),
    ],
)
def test_similar_is_the_cosine_to_the_closest_text(
    value: object, options: dict[str, object], verdict: tuple[bool, float]
) -> None:
    expected = Expectation("similar", value, **options)  # type: ignore[arg-type]
    found = score(Answer("Lima"), expected, judge=ScriptedJudge(""))
    assert found.passed is verdict[0]
    assert found.score == pytest.approx(verdict[1])
    assert "by a scripted model" in found.reason
