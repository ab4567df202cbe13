from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.errors import InputError, UnknownNameError
from localprompt.evaluate.classify import Tally
from localprompt.evaluate.summarize import MOST_RESAMPLED, mean_score, summarize
from localprompt.evaluate.thresholds import met
from localprompt.records.condition import parse_condition
from localprompt.records.evaluation import EvalResult
from tests.sample_evaluations import make_evaluation, make_result, make_target


def test_unscored_results_are_in_no_rate_and_no_mean() -> None:
    results = [make_result(0), make_result(1, False), make_result(2, None), make_result(3, None)]
    summary = summarize(make_target(), results)
    assert (summary.passes.passed, summary.passes.failed, summary.passes.unscored) == (1, 1, 2)
    assert summary.passes.rate == 0.5
    assert (summary.score.n, summary.score.mean, summary.score.unscored) == (2, 0.5, 2)
    assert (summary.metrics["tone"].n, summary.metrics["tone"].unscored) == (2, 2)
    (assertion,) = summary.assertions
    assert (assertion.type, assertion.passed, assertion.failed, assertion.unscored) == (
        "equals", 1, 1, 2,
    )  # fmt: skip


def test_nothing_scored_has_no_rate_rather_than_zero() -> None:
    summary = summarize(make_target(), [make_result(0, None)])
    assert summary.passes.rate is None
    assert summary.passes.interval is None
    assert summary.score.mean is None


def test_many_scores_get_a_normal_interval_that_agrees_with_the_bootstrap() -> None:
    values = [float(n % 2) for n in range(MOST_RESAMPLED)]
    resampled, normal = mean_score(values), mean_score([*values, 0.0, 1.0])
    assert resampled.interval is not None
    assert normal.interval is not None
    assert normal.interval.low == pytest.approx(resampled.interval.low, abs=2e-3)
    assert normal.interval.high == pytest.approx(resampled.interval.high, abs=2e-3)


def test_choices_that_are_almost_equally_probable_are_near_ties() -> None:
    results = [
        make_result(0, probabilities={"a": 0.57, "b": 0.43}),
        make_result(1, probabilities={"a": 0.58, "b": 0.42}),
        make_result(2, probabilities={"a": 0.4, "b": 0.38, "c": 0.22}),
        make_result(3, probabilities={"a": 1.0, "b": 0.0}),
        make_result(4),
    ]
    assert summarize(make_target(), results).near_ties == 2


def tally(pairs: list[tuple[str, str]], choices: tuple[str, ...] = ()) -> Tally:
    found = Tally(choices)
    for number, (expected, answer) in enumerate(pairs):
        found.add(make_result(number, answer=answer, expected=expected))
    return found


def test_the_confusion_matrix_has_a_row_for_each_expected_and_a_column_for_other_answers() -> None:
    pairs = [("a", "a"), ("a", "b"), ("b", "b"), ("b", "b"), ("b", "maybe"), ("a", " a\n")]
    found = tally(pairs).classification()
    assert found is not None
    assert found.labels == ("a", "b")
    assert found.matrix == ((2, 1, 0), (0, 2, 1))
    assert found.accuracy == 4 / 6
    a, b = found.scores
    assert (a.precision, a.recall, a.f1) == (1.0, 2 / 3, 0.8)
    assert (b.precision, b.recall) == (2 / 3, 2 / 3)
    assert found.macro_f1 == pytest.approx((a.f1 + b.f1) / 2)


def test_all_results_count_however_many_choices_are_declared() -> None:
    choices = tuple(f"label {number}" for number in range(30))
    found = tally([(choice, choice) for choice in choices] * 2, choices).classification()
    assert found is not None
    assert sum(map(sum, found.matrix)) == 60
    assert (found.accuracy, found.macro_f1) == (1.0, 1.0)
    assert [score.recall for score in found.scores] == [1.0] * 30


def test_declared_choices_are_the_labels_even_where_one_never_occurs() -> None:
    found = tally([("yes", "yes"), ("yes", "no")], ("yes", "no", "unsure")).classification()
    assert found is not None
    assert found.labels == ("yes", "no", "unsure")
    assert [score.f1 for score in found.scores] == [pytest.approx(2 / 3), 0.0, 0.0]
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2), "unsure was neither expected nor said"


def test_free_text_is_no_classification() -> None:
    assert tally([(f"text {n}", f"text {n}") for n in range(40)]).classification() is None
    assert tally([]).classification() is None
    mixed = Tally(())
    mixed.add(make_result(0))
    assert mixed.classification() is None


def test_calibration_is_the_gap_between_how_sure_and_how_right() -> None:
    found = Tally(("a", "b"))
    for number, right in enumerate([True, True, True, False]):
        sure = {"a": 0.95, "b": 0.05}
        found.add(make_result(number, expected="a" if right else "b", answer="a",
                              probabilities=sure))  # fmt: skip
    classification = found.classification()
    assert classification is not None
    assert classification.calibration is not None
    assert classification.calibration.n == 4
    assert classification.calibration.expected_error == pytest.approx(0.20)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=6))
def test_every_counted_answer_is_in_the_matrix_once(pairs: list[tuple[str, str]]) -> None:
    found = tally(pairs, ("a", "b", "c")).classification()
    assert found is not None
    assert sum(map(sum, found.matrix)) == len(pairs)
    assert 0 <= found.macro_f1 <= 1


def outcome(condition: str, *passed: bool | None) -> list[str]:
    target = make_target(results=len(passed))
    results = [make_result(n, p) for n, p in enumerate(passed)]
    found = EvalResult(make_evaluation(target), (summarize(target, results),), ())
    return list(met(parse_condition(condition), found))


@pytest.mark.parametrize(
    ("condition", "fails"),
    [
        ("pass_rate < 0.9", True),
        ("pass_rate < 75%", False),
        ("pass_rate <= 75%", True),
        ("failed > 0", True),
        ("errors > 0", False),
        ("tone < 0.8", True),
        ("tone >= 0.75", True),
        ("accuracy < 0.1", True),
    ],
)
def test_a_condition_that_is_met_fails_and_so_does_a_figure_that_is_not_known(
    condition: str, fails: bool
) -> None:
    assert bool(outcome(condition, True, True, True, False)) == fails


def test_a_pass_rate_of_nothing_fails() -> None:
    assert outcome("pass_rate < 0.1", None) == ["pass_rate < 0.1: not known (plain, smollm2-135m)"]


def test_what_is_no_condition_or_no_figure_is_told() -> None:
    with pytest.raises(InputError, match="not a condition"):
        parse_condition("pass rate below 90")
    with pytest.raises(UnknownNameError) as caught:
        outcome("tones < 0.8", True)
    assert "tone" in caught.value.nearest
