from __future__ import annotations

import csv
import io
import json
from typing import get_args
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from localprompt.evaluate.runner import EvalProgress
from localprompt.evaluate.summarize import summarize
from localprompt.records.evaluation import CaseResult, EvalResult
from localprompt.records.model_use import Floor, ModelUse
from localprompt.views.eval import print_evaluation, print_failures
from localprompt.views.eval_text import use_lines, value_text
from localprompt.views.files.eval import SUFFIXES, EvalFormat, write_evaluation
from localprompt.views.progress import standing_text
from tests.sample_evaluations import make_evaluation, make_result, make_target
from tests.sample_runs import make_run

NASTY = "=cmd|'/c calc'!A1 | <b>bold</b> ]]> & \x1b[31m\x00"


def make(*results: CaseResult, choices: tuple[str, ...] = ()) -> EvalResult:
    target = make_target(choices=choices, results=len(results))
    summary = summarize(target, results)
    return EvalResult(make_evaluation(target, cases=len(results)), (summary,), (use(),))


def use(floor: Floor | None = None) -> ModelUse:
    return ModelUse(
        model="smollm2-135m",
        created_at="2026-11-22T17:00:00Z",
        parallel=8,
        answered=120,
        cached=3,
        load_seconds=0.1,
        wall_seconds=10,
        settings=None,
        memory=make_run().memory,
        floor=floor,
    )


def exported(form: EvalFormat, *results: CaseResult) -> str:
    stream = io.StringIO()
    write_evaluation(make(*results), lambda: results, form, stream)
    return stream.getvalue()


def table(*results: CaseResult, width: int = 120, choices: tuple[str, ...] = ()) -> str:
    stream = io.StringIO()
    failures = [result for result in results if not result.score.passed]
    console = Console(file=stream, width=width)
    print_evaluation(make(*results, choices=choices), failures, console)
    return stream.getvalue()


def test_the_table_has_a_rate_with_its_interval_for_each_target() -> None:
    text = table(*(make_result(n, n > 0) for n in range(4)))
    assert "tones: 4 cases, 1 target" in text
    assert "3 of 4" in text
    assert "75.0 % (30.1 to 95.4)" in text
    assert "batched" in text


def test_the_table_shows_the_first_that_did_not_pass_and_where_the_others_are() -> None:
    text = table(*(make_result(n, None if n else False) for n in range(8)))
    assert text.count("text: text") == 5
    assert "--failures" in text
    assert "unscored results are left out of all rates and means" in text


def test_the_table_has_the_confusion_matrix_of_a_closed_set() -> None:
    results = [make_result(n, True, answer="good", expected="good") for n in range(3)]
    text = table(*results, make_result(3, False, answer="bad", expected="good"),
                 choices=("good", "bad"))  # fmt: skip
    assert "A row is what was expected, a column with → what was answered" in " ".join(text.split())
    assert "macro-F1" in text


def test_a_long_answer_is_cut_with_a_word_on_its_length() -> None:
    text = table(make_result(0, False, answer="x" * 100_000))
    assert len(text) < 5_000
    assert "(100,000 characters)" in text


def test_control_characters_of_answers_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in table(make_result(0, False, answer=NASTY))


def test_failures_alone_are_counted() -> None:
    stream = io.StringIO()
    evaluation = make_evaluation()
    console = Console(file=stream, width=100)
    assert print_failures(evaluation, [make_result(1, False)], console) == 1
    assert "not as expected" in stream.getvalue()
    assert "answer: good" in stream.getvalue()
    stream.truncate(stream.seek(0))
    # Without an answer the reason says why, and none is shown.
    assert print_failures(evaluation, [make_result(1, False, error="too long")], console) == 1
    assert "answer:" not in stream.getvalue()
    assert print_failures(evaluation, [], console) == 0


def test_the_floor_is_called_an_estimate_and_set_beside_what_was_taken() -> None:
    floor = Floor(400, 3600, 200, prefill_tokens_per_second=1000, decode_tokens_per_second=200)
    assert floor.seconds == 5
    text = "\n".join(use_lines(use(floor)))
    assert "floor (estimated) 5.00 s" in text
    assert "2.00 times that" in text
    assert "12.0 cases/s, 8 at once" in text
    assert "peak RSS" in text


@pytest.mark.parametrize("form", get_args(EvalFormat))
def test_every_format_holds_every_result_whatever_was_answered(form: EvalFormat) -> None:
    results = (make_result(0), make_result(1, False, answer=NASTY), make_result(2, None))
    text = exported(form, *results)
    assert text.encode("utf-8")
    assert form in SUFFIXES.values()
    if form != "md":
        assert text.count("case-") >= 3


def test_csv_has_the_variables_as_columns_and_defuses_formulas() -> None:
    more = make_result(1, False, answer=NASTY)
    rows = list(csv.DictReader(io.StringIO(exported("csv", make_result(0), more), newline="")))
    assert [row["var.text"] for row in rows] == ["text 0", "text 1"]
    assert [row["passed"] for row in rows] == ["true", "false"]
    assert rows[1]["answer"].startswith("'=cmd")
    assert "batched_ttft_seconds" in rows[0]


def test_json_and_jsonl_hold_the_stored_records() -> None:
    results = (make_result(0), make_result(1, False))
    whole = json.loads(exported("json", *results))
    assert [one["case_id"] for one in whole["results"]] == ["case-0", "case-1"]
    assert whole["targets"][0]["passes"]["passed"] == 1
    lines = exported("jsonl", *results).splitlines()
    assert [json.loads(line)["score"]["passed"] for line in lines] == [True, False]
    assert json.loads(lines[0])["timing"]["batched"] is True


def test_junit_tells_failures_errors_and_skipped_apart() -> None:
    results = (
        make_result(0),
        make_result(1, False, answer=NASTY),
        make_result(2, False, error="does not fit"),
        make_result(3, None),
    )
    suite = ET.fromstring(exported("junit", *results)).find("testsuite")
    assert suite is not None
    counts = [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["4", "1", "1", "1"]
    kinds = [[child.tag for child in case] for case in suite.findall("testcase")]
    assert kinds == [[], ["failure"], ["error"], ["skipped"]]
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "<b>bold</b>" in (failure.text or "")


def test_markdown_cannot_be_broken_by_an_answer() -> None:
    text = exported("md", make_result(0, False, answer=NASTY))
    assert "<b>" not in text.replace("\\<", "")
    assert "### Not passed" in text


def test_progress_says_rate_time_left_and_running_pass_rate() -> None:
    now = EvalProgress(doing="m, p", done=30, total=120, passed=18, scored=20, cached=0)
    assert standing_text(now, 10, 4.0) == "5.0/s, 18.0 s left, 90% passed"
    first = EvalProgress(doing="m, p", done=10, total=120, passed=0, scored=0, cached=0)
    assert standing_text(first, 10, 0.0) == "–, – left, – passed"


def test_a_value_is_shown_as_the_suite_has_it_and_not_as_python_does() -> None:
    shown = {"é": "é", 4: "4", None: "null", True: "true"}
    assert [value_text(value) for value in shown] == list(shown.values())
    assert value_text(["popcorn", {"a": None}]) == '["popcorn", {"a": null}]'
