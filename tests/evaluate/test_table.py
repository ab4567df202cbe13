"""A prompt over the rows of a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localprompt.engine.scripted import ScriptedEngine
from localprompt.errors import DatasetError, InputError
from localprompt.evaluate.table import TableDone, open_table, run_table
from localprompt.records.cell import Cell
from localprompt.records.prompt import InputSpec, PromptTemplate
from tests.running.test_execute import cell as sample_cell

Say = Callable[[str], str]


def cell(**changes: Any) -> Cell:
    template = PromptTemplate(
        name="greet",
        body="user:\n{{ greeting }} {{ name }}",
        inputs=(
            InputSpec("name", required=True),
            InputSpec("greeting", default="Hello"),
            InputSpec("age", kind="integer"),
        ),
    )
    base = sample_cell()
    return msgspec.structs.replace(
        base, template=msgspec.structs.replace(template, **changes), params={}
    )


def answered(text: str) -> list[bytes]:
    return [word.encode() for word in text.split(" ")]


def run(
    tmp_path: Path, rows: str, say: Say = str.upper, to: Path | None = None, **changes: Any
) -> tuple[TableDone, list[list[str]]]:
    path = tmp_path / "rows.csv"
    path.write_text(rows, encoding="utf-8")

    def answer(prompt: str) -> Sequence[bytes | BaseException]:
        return answered(say(prompt.strip()))

    out = io.StringIO()
    done = run_table(
        open_table(cell(**changes), path),
        to,
        out,
        open_engine=lambda model, request: ScriptedEngine(answer),
    )
    text = out.getvalue() if to is None else to.read_text(encoding="utf-8")
    return done, list(csv.reader(text.splitlines()))


def test_each_row_is_answered_in_the_table_s_order(tmp_path: Path) -> None:
    names = [f"n{number * 7919 % 300}" for number in range(300)]
    done, rows = run(tmp_path, "name,note\n" + "".join(f"{name},x\n" for name in names))
    assert done == TableDone(rows=300, before=0, errors=0)
    assert rows[0] == ["name", "note", "answer", "error"]
    assert rows[1:] == [[name, "x", f"HELLO{name.upper()}", ""] for name in names]


def test_a_schema_s_properties_are_columns(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "tags": {"type": "array"}},
        "required": ["name"],
    }
    _, rows = run(
        tmp_path,
        "name\nAna\nBo\n",
        say=lambda p: '{"name":"A","tags":[1,"ö"]}' if "Ana" in p else '{"name":3}',
        output_schema=schema,
    )
    assert rows[0] == ["name", "answer.name", "tags", "error"]
    assert rows[1] == ["Ana", "A", '[1, "ö"]', ""]
    assert rows[2][1:3] == ["", ""]
    assert "3 is not of type 'string'" in rows[2][3]


@pytest.mark.parametrize(
    ("weighing", "answer"),
    [
        ({"bias": {"good": 0.5}}, "good"),
        ({"bias": {"good": -2.0}}, "bad enough"),
        ({"per_byte": True}, "bad enough"),
        ({"label_words": {"good": "great", "bad enough": "awful"}}, "good"),
    ],
)
def test_a_prompt_that_weighs_its_choices_does_so_over_a_table_too(
    tmp_path: Path, weighing: dict[str, Any], answer: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("name\nAna\nBo\n")
    engine = ScriptedEngine(lambda _: [b"generated"], log_probability=lambda before, word: -1.0)
    table = open_table(cell(choices=("good", "bad enough"), **weighing), path)
    out = io.StringIO()
    run_table(table, None, out, open_engine=lambda model, request: engine)
    rows = list(csv.reader(out.getvalue().splitlines()))
    assert rows[1:] == [["Ana", answer, ""], ["Bo", answer, ""]]


def test_what_is_wrong_with_a_row_stands_in_it_and_stops_no_other(tmp_path: Path) -> None:
    done, rows = run(tmp_path, "name,age\nAna,3\nBo,old\nCy,5,6\nDo,7\n")
    assert done.errors == 2
    assert [row[-1] == "" for row in rows[1:]] == [True, False, False, True]
    assert "age" in rows[2][-1]


def test_what_was_cut_off_goes_on_behind_the_last_whole_row(tmp_path: Path) -> None:
    to = tmp_path / "out.csv"
    table = "name\nAna\nBo\nCy\n"
    _, whole = run(tmp_path, table, to=to)
    text = to.read_text()
    to.write_text(text[: text.index("HELLOBO") + 3])
    asked: list[str] = []

    def say(prompt: str) -> str:
        asked.append(prompt)
        return prompt.upper()

    done, again = run(tmp_path, table, to=to, say=say)
    assert again == whole
    assert done == TableDone(rows=3, before=1, errors=0)
    assert [prompt[-2:] for prompt in asked] == ["Bo", "Cy"]
    nothing_left, _ = run(tmp_path, table, to=to, say=lambda p: pytest.fail("asked again"))
    assert nothing_left == TableDone(rows=3, before=3, errors=0)


@pytest.mark.parametrize("say", ["one\ntwo", 'a "quoted" word', "a\u2028b\x0cc", "x,y\n", "é\n"])
def test_wherever_it_was_cut_off_all_whole_rows_stay_and_nothing_is_doubled(
    tmp_path: Path, say: str
) -> None:
    to = tmp_path / "out.csv"
    table = "name\nAna\nBo\u2028\nCy\n"
    run(tmp_path, table, to=to, say=lambda _: say)
    whole = to.read_bytes()
    head = whole.index(b"\n") + 1
    for cut in range(head, len(whole)):
        to.write_bytes(whole[:cut])
        asked: list[str] = []

        def answer(prompt: str, asked: list[str] = asked) -> str:
            asked.append(prompt)
            return say

        done, _ = run(tmp_path, table, to=to, say=answer)
        assert to.read_bytes() == whole, cut
        assert done.before + len(asked) == 3


def test_more_rows_than_the_table_has_are_not_its_answers(tmp_path: Path) -> None:
    to = tmp_path / "out.csv"
    run(tmp_path, "name\nAna\nBo\n", to=to)
    before = to.read_bytes()
    with pytest.raises(InputError, match="not made from this table"):
        run(tmp_path, "name\nAna\n", to=to)
    assert to.read_bytes() == before


@pytest.mark.parametrize("there", [b"\xff\xfe", b'name,answer,error\n"Ana"x,HI,\n'])
def test_what_is_no_csv_is_not_written_to(tmp_path: Path, there: bytes) -> None:
    to = tmp_path / "out.csv"
    to.write_bytes(there)
    with pytest.raises(InputError, match="not made from this table"):
        run(tmp_path, "name\nAna\n", to=to)
    assert to.read_bytes() == there


@pytest.mark.parametrize("there", ["other,columns\n1,2\n", "name,answer,error\nZoe,HI,\n", "x"])
def test_a_file_of_something_else_is_not_written_to(tmp_path: Path, there: str) -> None:
    to = tmp_path / "out.csv"
    to.write_text(there)
    with pytest.raises(InputError, match="not made from this table"):
        run(tmp_path, "name\nAna\n", to=to)
    assert to.read_text() == there


def test_ctrl_c_keeps_what_is_answered(tmp_path: Path) -> None:
    to = tmp_path / "out.csv"

    def say(prompt: str) -> str:
        if "Cy" in prompt:
            raise KeyboardInterrupt
        return "yes"

    done, rows = run(tmp_path, "name\nAna\nBo\nCy\nDo\n", say=say, to=to)
    assert done.interrupted
    assert rows[0] == ["name", "answer", "error"]
    assert all(row[1] == "yes" for row in rows[1:])


def test_a_table_without_a_needed_column_is_refused_before_anything_is_opened(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("greeting\nHi\n")
    with pytest.raises(DatasetError, match="the table lacks name"):
        open_table(cell(), path)
    path.write_text("name\n")
    with pytest.raises(DatasetError, match="no rows"):
        open_table(cell(), path)
