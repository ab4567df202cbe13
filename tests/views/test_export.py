from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from localprompt.records import json as record_json
from localprompt.records.run import RunRecord
from localprompt.views.files.rows import ExportFormat
from localprompt.views.files.runs import MARKDOWN_COLUMNS, columns, write_runs
from tests.sample_runs import make_run
from tests.strategies import run_records

FORMATS: tuple[ExportFormat, ...] = ("csv", "json", "jsonl", "md")


def exported(runs: list[RunRecord], format: ExportFormat) -> str:  # noqa: A002
    stream = io.StringIO(newline="")
    assert write_runs(runs, format, stream) == len(runs)
    return stream.getvalue()


def csv_rows(runs: list[RunRecord]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(exported(runs, "csv"), newline=""), strict=True))


def with_text(text: str) -> RunRecord:
    return make_run(text=text)


def at(tree: Any, path: str) -> Any:
    for key in path.split("."):
        tree = tree[key]
    return tree


@settings(max_examples=40)
@given(st.lists(run_records(), max_size=2))
def test_any_runs_survive_jsonl(runs: list[RunRecord]) -> None:
    lines = exported(runs, "jsonl").split("\n")
    assert lines.pop() == ""
    assert [record_json.decode(line) for line in lines] == runs


@settings(max_examples=40)
@given(st.lists(run_records(), max_size=2))
def test_any_runs_survive_json(runs: list[RunRecord]) -> None:
    assert msgspec.json.decode(exported(runs, "json"), type=list[RunRecord]) == runs


@settings(max_examples=60)
@given(run_records())
def test_csv_says_what_the_record_says(run: RunRecord) -> None:
    (row,) = csv_rows([run])
    tree = json.loads(record_json.encode(run))
    assert tuple(row) == columns()
    for path, cell in row.items():
        value = at(tree, path)
        if value is None:
            assert cell == ""
        elif isinstance(value, str):
            assert cell == (f"'{value}" if value[:1] in tuple("=+-@\t\r") else value)
        else:
            assert json.loads(cell) == value


@given(st.text())
@example("a\rb")
@example('say "hi", twice\r\n')
@example("nul \0 inside")
def test_any_answer_stays_in_its_csv_cell(text: str) -> None:
    (row,) = csv_rows([with_text(text)])
    assert row["output.text"].removeprefix("'") == text.removeprefix("'")
    assert row["id"] == make_run().id


def test_the_columns_are_the_leaves_of_the_record() -> None:
    assert columns()[:5] == ("id", "kind", "created_at", "localprompt_version", "model.name")
    assert columns()[-1].split(".")[0] == "conversation"
    assert {"timing.ttft_seconds", "prompt.params", "output.text"} <= set(columns())
    assert len(set(columns())) == len(columns())


def test_the_markdown_columns_are_columns_of_the_record() -> None:
    assert set(MARKDOWN_COLUMNS) <= set(columns())


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe(start: str) -> None:
    (row,) = csv_rows([with_text(f"{start}1+1")])
    assert row["output.text"] == f"'{start}1+1"


def test_a_negative_number_is_no_formula() -> None:
    run = make_run()
    colder = msgspec.structs.replace(
        run, output=msgspec.structs.replace(run.output, parsed=-1.5), warnings=()
    )
    (row,) = csv_rows([colder])
    assert row["output.parsed"] == "-1.5"
    assert row["warnings"] == "[]"


def test_unknown_and_not_a_number_are_empty_in_csv_and_null_in_json() -> None:
    run = make_run()
    odd = msgspec.structs.replace(
        run,
        timing=msgspec.structs.replace(run.timing, ttft_seconds=math.nan, load_seconds=None),
    )
    (row,) = csv_rows([odd])
    (tree,) = json.loads(exported([odd], "json"))
    for name in ("ttft_seconds", "load_seconds"):
        assert row[f"timing.{name}"] == ""
        assert tree["timing"][name] is None


def test_markdown_shows_a_run_in_one_row() -> None:
    header, rule, row = exported([make_run()], "md").splitlines()
    assert header == f"| {' | '.join(MARKDOWN_COLUMNS)} |"
    assert rule == f"|{' --- |' * len(MARKDOWN_COLUMNS)}"
    assert row == (
        f"| {make_run().id} | 2026-11-22T17:00:00.000Z | run | smollm2-135m | Q4\\_1 | summarize "
        "| 40 | 16 | 0.12 | 0.09 | 500.0 | 150.0 | 220000000 | stop | A short summary. |"
    )


def test_markdown_escapes_what_markdown_and_html_act_on() -> None:
    table = exported(
        [with_text("a|b\n<script>*x*</script> ![i](http://e) `c` \\| \x1b[31m &lt;")], "md"
    )
    assert table.splitlines()[2].endswith(
        r"| a\|b<br>\<script\>\*x\*\</script\> !\[i\](http://e) \`c\` \\\| ␛\[31m \&lt; |"
    )


@given(st.text())
def test_any_answer_stays_in_its_markdown_row(text: str) -> None:
    from markdown_it import MarkdownIt

    table = exported([with_text(text)], "md")
    assert table.count("\n") == 3
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(table)
    kinds = [token.type for token in tokens]
    assert (kinds[0], kinds[-1]) == ("table_open", "table_close")
    assert kinds.count("td_open") == len(MARKDOWN_COLUMNS)
    inline = [child.type for token in tokens for child in token.children or ()]
    assert set(inline) <= {"text", "text_special", "html_inline"}


@pytest.mark.parametrize("form", FORMATS)
def test_no_runs_make_a_valid_empty_file(form: ExportFormat) -> None:
    text = exported([], form)
    assert {
        "csv": text == ",".join(columns()) + "\n",
        "json": text.split() == ["[", "]"],
        "jsonl": text == "",
        "md": text.count("\n") == 2,
    }[form]


@pytest.mark.parametrize("form", FORMATS)
def test_each_run_is_written_before_the_next_is_asked_for(form: ExportFormat) -> None:
    stream = io.StringIO(newline="")

    def runs() -> Iterator[RunRecord]:
        for number in range(3):
            yield make_run(number)
            assert make_run(number).id in stream.getvalue()

    assert write_runs(runs(), form, stream) == 3
