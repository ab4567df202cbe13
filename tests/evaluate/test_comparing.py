from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from localprompt.errors import UnknownNameError
from localprompt.evaluate.comparing import compare_evaluations, compare_targets, find_target
from localprompt.evaluate.summarize import load_result
from localprompt.evaluate.thresholds import confirmed
from localprompt.records.condition import parse_condition
from localprompt.records.evaluation import CaseResult, EvalComparison, Evaluation
from localprompt.stats.paired import cases_needed_for_rates, mcnemar
from localprompt.store.history import History
from localprompt.views.eval_compare import comparison_markdown, print_comparison, rows
from tests.sample_evaluations import make_evaluation, make_result, make_target


def stored(store: History, evaluation: Evaluation, results: list[CaseResult]) -> Evaluation:
    store.begin(evaluation)
    store.add(evaluation.id, results)
    return evaluation


@pytest.fixture
def store(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "history.db") as store:
        yield store


def compared(store: History, a: Sequence[bool | None], b: Sequence[bool | None]) -> EvalComparison:
    first = stored(store, make_evaluation(), [make_result(n, p) for n, p in enumerate(a)])
    second = stored(store, make_evaluation(), [make_result(n, p) for n, p in enumerate(b)])
    return compare_evaluations(first, second, store)


def test_cases_are_paired_by_id_and_unscored_ones_left_out(store: History) -> None:
    with store:
        found = compared(store, [True, False, None, True, True], [True, True, True, False])
    (pair,) = found.pairs
    assert (pair.paired, pair.only_in_a, pair.only_in_b, pair.unscored) == (4, 1, 0, 1)
    assert pair.passes is not None
    assert (pair.passes.n, pair.passes.only_a, pair.passes.only_b) == (3, 1, 1)
    assert [(flip.case_id, flip.repaired) for flip in pair.flips] == [
        ("case-1", True),
        ("case-3", False),
    ]


def test_a_clear_improvement_is_told_with_its_test(store: History) -> None:
    with store:
        found = compared(store, [False] * 30 + [True] * 30, [True] * 60)
    (pair,) = found.pairs
    assert pair.passes is not None
    assert pair.passes.difference == 0.5
    assert pair.passes.p_value == mcnemar(0, 30)
    assert pair.cases_needed is None
    verdict = {row[0]: row[-1] for row in rows(pair)}
    assert verdict == {"pass rate": "B is better", "metric tone": "B is better"}


def test_p_values_are_adjusted_for_how_many_there_are(store: History) -> None:
    with store:
        found = compared(store, [False] * 8 + [True] * 8, [True] * 16)
    (pair,) = found.pairs
    assert pair.passes is not None
    assert found.tests == 2, "pass and one metric; scores of 0 and 1 say nothing more"
    assert pair.adjusted["pass"] == pytest.approx(2 * pair.passes.p_value)
    assert set(pair.adjusted) == {"pass", "metric tone"}


def test_graded_scores_are_compared_beside_the_pass_rate(store: History) -> None:
    def graded(value: float) -> list[CaseResult]:
        return [
            msgspec.structs.replace(
                result, score=msgspec.structs.replace(result.score, score=value + n / 100)
            )
            for n, result in enumerate(make_result(n) for n in range(12))
        ]

    with store:
        a = stored(store, make_evaluation(), graded(0.2))
        b = stored(store, make_evaluation(), graded(0.5))
        (pair,) = compare_evaluations(a, b, store).pairs
    assert pair.score is not None
    assert pair.score.difference == pytest.approx(0.3)
    assert "score" in pair.adjusted


def test_too_few_cases_say_how_many_would_be_needed(store: History) -> None:
    with store:
        (pair,) = compared(store, [False] + [True] * 11, [True] * 12).pairs
    assert pair.passes is not None
    assert pair.passes.interval.contains(0)
    assert pair.cases_needed == cases_needed_for_rates(1 / 12, 1 / 12)
    assert pair.cases_needed > 12


def test_repetitions_of_a_case_count_as_one_case(store: History) -> None:
    with store:
        a = make_evaluation(repeat=3)
        b = make_evaluation(repeat=3)
        three = [make_result(0, r > 0, repetition=r) for r in range(3)]
        stored(store, a, three)
        stored(store, b, [make_result(0, r > 1, repetition=r) for r in range(3)])
        (pair,) = compare_evaluations(a, b, store).pairs
    assert pair.paired == 1
    assert pair.passes is not None
    assert (pair.passes.passed_a, pair.passes.passed_b) == (1, 0)


def test_two_versions_of_a_prompt_are_paired_by_their_model(store: History) -> None:
    with store:
        a = stored(store, make_evaluation(make_target("v1")), [make_result(0)])
        b = stored(store, make_evaluation(make_target("v2")), [make_result(0)])
        found = compare_evaluations(a, b, store)
    assert [(pair.a.prompt, pair.b.prompt) for pair in found.pairs] == [("v1", "v2")]


def test_what_has_no_counterpart_is_named(store: History) -> None:
    with store:
        a = stored(store, make_evaluation(make_target("p"), make_target("q")), [])
        b = stored(store, make_evaluation(make_target("p"), make_target("r"), make_target("s")), [])
        found = compare_evaluations(a, b, store)
    assert [pair.a.prompt for pair in found.pairs] == ["p"]
    assert found.only_in_a == ("q, smollm2-135m",)
    assert found.only_in_b == ("r, smollm2-135m", "s, smollm2-135m")


def three(store: History) -> Evaluation:
    """p and q pass all 30 cases, r none."""
    return stored(
        store,
        make_evaluation(make_target("p"), make_target("q"), make_target("r"), cases=30),
        [make_result(n, target < 2, target=target) for target in range(3) for n in range(30)],
    )


def test_every_two_targets_of_one_evaluation_are_compared(store: History) -> None:
    with store:
        evaluation = three(store)
        found = compare_evaluations(evaluation, evaluation, store)
        result = load_result(evaluation, store)
    assert [(one.a.prompt, one.b.prompt) for one in found.pairs] == [
        ("p", "q"),
        ("p", "r"),
        ("q", "r"),
    ]
    assert found.tests == 6
    assert result.pairs == found.pairs
    verdicts = [next(rows(one))[-1] for one in found.pairs]
    assert verdicts == ["no difference shown", "B is worse", "B is worse"]


def test_one_pair_of_many_stays_adjusted_for_all_and_stands_as_it_was_asked(store: History) -> None:
    with store:
        evaluation = three(store)
        every = compare_evaluations(evaluation, evaluation, store)
        found = compare_targets(evaluation, 2, 0, store)
    (pair,) = found.pairs
    assert (pair.a.prompt, pair.b.prompt) == ("r", "p")
    assert pair.passes is not None
    assert pair.passes.difference == 1.0
    assert found.tests == every.tests
    assert pair.adjusted == every.pairs[1].adjusted


@pytest.mark.parametrize(("name", "index"), [("p", 0), ("q, smollm2-135m", 1), ("R, smol", 2)])
def test_a_target_is_found_by_what_only_it_has(name: str, index: int, store: History) -> None:
    with store:
        assert find_target(three(store), name) == index


@pytest.mark.parametrize("name", ["smollm2", "nobody"])
def test_a_name_of_several_targets_or_of_none_is_refused(name: str, store: History) -> None:
    with store, pytest.raises(UnknownNameError) as caught:
        find_target(three(store), name)
    assert caught.value.nearest == ("p, smollm2-135m", "q, smollm2-135m", "r, smollm2-135m")


def test_many_pairs_are_a_table_and_one_line_says_how_to_see_one(store: History) -> None:
    targets = [make_target(name) for name in "pqrst"]
    with store:
        results = [make_result(n, target=at) for at in range(5) for n in range(4)]
        evaluation = stored(store, make_evaluation(*targets), results)
        found = compare_evaluations(evaluation, evaluation, store)
    text = comparison_markdown(found)
    assert text.count("no difference shown") == 10
    assert f"localprompt compare {evaluation.id} --between A B" in text
    assert "A → B:" not in text


def test_two_prompts_of_one_evaluation_are_one_pair_with_its_flips(store: History) -> None:
    with store:
        a = stored(
            store,
            make_evaluation(make_target("p"), make_target("q")),
            [make_result(0), make_result(0, False, target=1)],
        )
        (pair,) = compare_evaluations(a, a, store).pairs
    assert (pair.a.prompt, pair.b.prompt) == ("p", "q")
    assert [flip.repaired for flip in pair.flips] == [False]


def test_a_comparison_reads_well_in_the_terminal_and_in_markdown(store: History) -> None:
    with store:
        found = compared(store, [False] * 30 + [True] * 30, [True] * 60)
    stream = io.StringIO()
    print_comparison(found, Console(file=stream, width=140))
    for text in (stream.getvalue(), comparison_markdown(found)):
        assert "+50.0 points" in text
        assert "B is better" in text
        assert "exact McNemar" in text
        assert "all 2 tests" in text


def test_a_change_fails_only_where_the_whole_interval_confirms_it(store: History) -> None:
    with store:
        worse = compared(store, [True] * 60, [False] * 30 + [True] * 30)
        unclear = compared(store, [True] * 10, [True] * 9 + [False])
    assert list(confirmed(parse_condition("pass_rate < 0"), worse))
    assert not list(confirmed(parse_condition("pass_rate < -60%"), worse))
    assert not list(confirmed(parse_condition("pass_rate < 0"), unclear))
    with pytest.raises(UnknownNameError):
        list(confirmed(parse_condition("taste < 0"), worse))
