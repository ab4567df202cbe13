from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.records.score import Answer, Expectation, ExpectationSet, Score
from localprompt.scoring.aggregate import aggregate, with_comparison
from localprompt.scoring.score import score_case, unscored_any


def a_score(value: float | None, **options: Any) -> Score:
    passed = None if value is None else value >= 0.5
    return Score(type="x", score=value, passed=passed, reason="because", **options)


def test_a_case_passes_if_every_assertion_does_and_scores_their_weighted_mean() -> None:
    result = aggregate([a_score(1.0, weight=3.0), a_score(0.6)])
    assert result.passed is True
    assert result.score == pytest.approx(0.9)
    failed = aggregate([a_score(1.0), a_score(0.0)])
    assert (failed.passed, failed.score) == (False, 0.5)
    assert "because" in failed.reason


def test_a_threshold_overrules_the_single_assertions() -> None:
    scores = [a_score(1.0), a_score(0.0)]
    assert aggregate(scores, threshold=0.5).passed is True
    assert aggregate(scores, threshold=0.51).passed is False
    assert aggregate([a_score(0.0)], threshold=0).passed is True


def test_a_mean_that_equals_the_threshold_reaches_it() -> None:
    assert aggregate([a_score(0.1)] * 3, threshold=0.1).passed is True


def test_an_unscored_assertion_leaves_the_case_open() -> None:
    result = aggregate([a_score(1.0), a_score(None)])
    assert (result.passed, result.score) == (None, None)


def test_an_unscored_assertion_does_not_save_a_failed_case() -> None:
    assert aggregate([a_score(0.0), a_score(None)]).passed is False


def test_a_threshold_is_decided_where_the_unscored_cannot_matter() -> None:
    three_and_open = [a_score(1.0)] * 3 + [a_score(None)]
    assert aggregate(three_and_open, threshold=0.75).passed is True
    assert aggregate(three_and_open, threshold=0.9).passed is None
    assert aggregate([a_score(0.0)] * 3 + [a_score(None)], threshold=0.5).passed is False


def test_weight_zero_stays_out_of_the_mean_but_in_its_metric() -> None:
    result = aggregate([a_score(1.0), a_score(0.2, weight=0.0, metric="length")])
    assert result.score == 1
    assert result.metrics["length"].mean == 0.2


def test_a_case_without_assertions_is_unscored() -> None:
    assert aggregate([]).passed is None
    assert aggregate([]).score is None


def test_metrics_are_summed_over_sets_and_know_what_is_unscored() -> None:
    inner = a_score(0.5, metric="tone")
    outer = Score("assert-set", 1.0, True, "", metric="all", members=(inner,))
    result = aggregate(
        [outer, a_score(1.0, metric="tone", weight=3.0), a_score(None, metric="tone")]
    )
    tone = result.metrics["tone"]
    assert (tone.weighted_sum, tone.weight, tone.unscored) == (3.5, 4.0, 1)
    assert tone.mean == pytest.approx(0.875)
    assert result.metrics["all"].mean == 1


def test_an_assert_set_needs_as_much_as_its_threshold() -> None:
    members = (
        Expectation(type="contains", value="hello"),
        Expectation(type="contains", value="missing"),
    )
    strict, lax = ExpectationSet(members), ExpectationSet(members, threshold=0.5)
    assert score_case(Answer("hello"), [strict]).passed is False
    result = score_case(Answer("hello"), [lax, Expectation(type="contains", value="h")])
    assert (result.passed, result.score) == (True, 0.75)
    assert [member.passed for member in result.scores[0].members] == [True, False]


def test_select_best_is_left_out_until_the_answers_are_compared() -> None:
    result = score_case(
        Answer("hello"),
        [Expectation(type="contains", value="hello"), Expectation(type="select-best", value="any")],
    )
    assert (result.passed, len(result.scores)) == (True, 1)
    lost = with_comparison(result, Score("select-best", 0.0, False, "other"))
    assert (lost.passed, lost.score, len(lost.scores)) == (False, 0, 2)
    won = with_comparison(result, Score("select-best", 1.0, True, "this"))
    assert (won.passed, won.score) == (True, 1)
    alone = with_comparison(aggregate([]), Score("select-best", 1.0, True, "this"))
    assert (alone.passed, alone.score) == (True, 1)


def test_an_unscored_comparison_leaves_a_passed_case_open_and_a_failed_one_failed() -> None:
    unknown = Score("select-best", None, None, "no judge")
    assert with_comparison(aggregate([a_score(1.0)]), unknown).passed is None
    assert with_comparison(aggregate([a_score(0.0)]), unknown).passed is False


@given(
    st.lists(
        st.tuples(st.none() | st.floats(0, 1), st.floats(0, 10).map(lambda w: round(w, 3))),
        min_size=1,
    ),
    st.none() | st.floats(0, 1),
)
def test_scoring_what_was_unscored_never_turns_a_decided_case(
    drawn: list[tuple[float | None, float]], threshold: float | None
) -> None:
    scores = [a_score(value, weight=weight) for value, weight in drawn]
    before = aggregate(scores, threshold).passed
    for filler in (0.0, 1.0):
        full = [a_score(filler if v is None else v, weight=w) for v, w in drawn]
        after = aggregate(full, threshold).passed
        assert before is None or before == after


def test_where_there_is_no_answer_a_set_is_undecided_with_all_its_members() -> None:
    members = (Expectation("contains", "a"), Expectation("contains", "b"))
    found = unscored_any(ExpectationSet(members, weight=2.0, metric="both"), "the run failed")
    assert (found.passed, found.score, found.weight, found.metric) == (None, None, 2.0, "both")
    assert "the run failed" in found.reason
