"""Repetitions: pass^k, consistency, flips, and an interval that they do not narrow."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest
from rich.console import Console

from localprompt.evaluate.repeats import pass_power
from localprompt.evaluate.summarize import summarize
from localprompt.records.evaluation import CaseResult, EvalResult, RepeatedCase
from localprompt.views.eval import print_evaluation
from localprompt.views.files.eval import write_evaluation
from tests.evaluate.harness import Lab
from tests.sample_evaluations import make_evaluation, make_result, make_target


def repeated(*cases: str) -> list[CaseResult]:
    """``"110"`` is a case whose third repetition failed; ``?`` is unscored."""
    verdicts = {"1": True, "0": False, "?": None}
    return [
        make_result(n, verdicts[mark], repetition=k, answer="good" if mark == "1" else f"bad {k}")
        for n, marks in enumerate(cases)
        for k, mark in enumerate(marks)
    ]


def test_a_case_counts_as_passed_k_times_only_if_all_of_k_draws_pass() -> None:
    cases = [RepeatedCase("a", 3, 3, 1), RepeatedCase("b", 1, 3, 3), RepeatedCase("c", 0, 3, 2)]
    assert pass_power(cases, 1) == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert pass_power(cases, 2) == pytest.approx(1 / 3)  # of b, two draws never both pass
    assert pass_power(cases, 3) == pytest.approx(1 / 3)
    assert pass_power([RepeatedCase("d", 1, 1, 1)], 2) is None


def test_flips_and_consistency_are_of_cases_and_not_of_results() -> None:
    summary = summarize(make_target(), repeated("111", "110", "000", "0?0"))
    found = summary.repeated
    assert found is not None
    assert found.repetitions == 3
    assert found.flipping == 0.25
    assert found.consistency == pytest.approx((1 + 2 / 3 + 1 + 1) / 4)
    assert [case.flips for case in found.cases] == [False, True, False, False]
    assert [case.answers for case in found.cases] == [1, 2, 3, 3]
    assert [case.scored for case in found.cases] == [3, 3, 3, 2]


def test_repetitions_do_not_narrow_the_interval_of_the_pass_rate() -> None:
    marks = ["1", "0"] * 10
    once = summarize(make_target(), repeated(*marks)).passes.interval
    often = summarize(make_target(), repeated(*[mark * 9 for mark in marks])).passes.interval
    assert once is not None
    assert often is not None
    assert often.high - often.low > 0.8 * (once.high - once.low)


def test_cases_that_all_end_alike_still_have_an_interval_of_so_many_cases() -> None:
    interval = summarize(make_target(), repeated("11", "11", "11")).passes.interval
    assert interval is not None
    assert interval.low < 0.6
    assert interval.high == 1.0


def test_without_repetitions_nothing_is_said_of_them() -> None:
    assert summarize(make_target(), repeated("1", "0")).repeated is None
    assert summarize(make_target(), repeated("??")).repeated is None


def test_the_table_and_the_exports_say_how_steady_the_answers_are() -> None:
    results = repeated("111", "110", "000")
    target = make_target()
    result = EvalResult(
        make_evaluation(target, cases=3, repeat=3), (summarize(target, results),), ()
    )
    stream = io.StringIO()
    print_evaluation(result, [], Console(file=stream, width=120))
    text = stream.getvalue()
    assert "pass^3" in text
    assert "33.3 %" in text  # of the cases flip
    assert "case-1" in text
    assert "2 of 3" in text
    table = io.StringIO()
    write_evaluation(result, lambda: results, "csv", table)
    rows = list(csv.DictReader(io.StringIO(table.getvalue(), newline="")))
    assert [row["case_pass_power"] for row in rows[::3]] == ["1", "0", "0"]
    assert float(rows[3]["case_consistency"]) == pytest.approx(2 / 3)
    whole = msgspec.json.decode(msgspec.json.encode(result), type=EvalResult)
    assert whole == result


def test_each_repetition_has_a_seed_of_its_own(lab: Lab) -> None:
    lab.say = lambda prompt: "good" if len(lab.asked) % 3 else "bad"
    lab.write("tones.csv", "text,__expected\na fine day,good\na fine meal,good\n")
    lab.write(
        "again.yaml", "prompts: ['{{ text }}']\nproviders: [small]\ntests: file://tones.csv\n"
    )
    from localprompt.records.cell import SamplingChoices

    result = lab.evaluate("again.yaml", repeat=3, sampling=SamplingChoices(temperature=0.7))
    keys = {(one.case_id, one.answer_key) for one in lab.results(result)}
    assert len(keys) == 6, "equal requests would have been answered once"
    assert len(lab.asked) == 6
    found = result.targets[0].repeated
    assert found is not None
    assert found.repetitions == 3
