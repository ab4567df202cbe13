"""Datasets of cases: read row by row, with the line of whatever is wrong."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from localprompt.errors import DatasetError
from localprompt.sources.rows import Case, Cases


def _file(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


_ROWS = [
    Case("a", 2, {"text": "one, two", "label": "good"}),
    Case("row-2", 3, {"text": 'a "quoted"\nword', "label": "bad"}),
]
_CSV = 'id,text,label\na,"one, two",good\n,"a ""quoted""\nword",bad\n'


def test_csv_rows_are_mappings_by_column(tmp_path: Path) -> None:
    assert list(Cases(_file(tmp_path, "c.csv", _CSV))) == _ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_says_the_encoding(encoding: str, tmp_path: Path) -> None:
    path = _file(tmp_path, "c.csv", "text\nolá\n", encoding)
    assert [case.values for case in Cases(path)] == [{"text": "olá"}]


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("c.jsonl", '{"id": "a", "n": 1}\n\n{"n": 2}\n', [1, 3]),
        ("c.json", '[\n  {"id": "a", "n": 1},\n\n  {"n": 2}\n]\n', [2, 4]),
        ("c.yaml", "- id: a\n  n: 1\n- n: 2\n", [1, 3]),
        ("c.csv", "id,n\na,1\n\n,2\n", [2, 4]),
    ],
)
def test_every_format_gives_the_same_cases_with_their_lines(
    name: str, text: str, lines: list[int], tmp_path: Path
) -> None:
    cases = list(Cases(_file(tmp_path, name, text)))
    assert [case.line for case in cases] == lines
    assert [case.id for case in cases] == ["a", "row-2"]
    assert [str(case.values["n"]) for case in cases] == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "text", "where", "message"),
    [
        ("c.csv", "a,b\n1,2\n3\n", 3, "different number of cells"),
        ("c.csv", "a,b\n1,2\n3,4,5\n", 3, "different number of cells"),
        ("c.csv", 'a,b\n"x"y,2\n', 2, "not csv"),
        ("c.csv", "a,a\n1,2\n", 1, "column twice"),
        ("c.csv", "a,,b\n1,2,3\n", 1, "without a name"),
        ("c.csv", "", None, "empty"),
        ("c.jsonl", '{"a": 1}\n{"a": \n', 2, "not JSON"),
        ("c.jsonl", '{"a": 1}\n{"a": NaN}\n', 2, "NaN is not JSON"),
        ("c.jsonl", '{"a": 1}\n[1]\n', 2, "not a mapping"),
        ("c.json", '[{"a": 1},\n 3]', 2, "not a mapping"),
        ("c.json", '{"a": 1}', None, "not a list"),
        ("c.json", '[{"a": 1}\n', 2, "not JSON"),
        ("c.yaml", "- a: 1\n- - b", 2, "not a mapping"),
        ("c.yaml", "- a: [", 1, "not valid YAML"),
        ("c.jsonl", '{"id": 1}\n{"id": 2}\n{"id": "1"}\n', 3, "appears twice"),
        ("c.txt", "a", None, "kind of dataset"),
    ],
)
def test_a_row_that_breaks_the_format_is_an_error_with_its_line(
    name: str, text: str, where: int | None, message: str, tmp_path: Path
) -> None:
    path = _file(tmp_path, name, text)
    with pytest.raises(DatasetError, match=message) as error:
        list(Cases(path))
    assert error.value.where == (str(path) if where is None else f"{path}:{where}")


def test_a_missing_column_says_what_was_expected_and_found(tmp_path: Path) -> None:
    path = _file(tmp_path, "c.csv", "txt,label\na,b\n")
    with pytest.raises(DatasetError) as error:
        list(Cases(path, columns=["text", "label"]))
    assert error.value.message == "the row lacks text"
    assert (error.value.expected, error.value.found) == ("text, label", "txt, label")


def test_bad_rows_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        "c.jsonl",
        '{"id": 1, "t": "a"}\nnot json\n{"id": 1, "t": "b"}\n3\n{"t": "c"}\n{}\n',
    )
    cases = Cases(path, columns=["t"], skip_bad_rows=True)
    assert [case.values["t"] for case in cases] == ["a", "c"]
    assert cases.skipped == 4
    assert len(list(cases)) == 2
    assert cases.skipped == 4


def test_another_encoding_is_told_with_its_line_and_what_to_do(tmp_path: Path) -> None:
    path = _file(tmp_path, "c.csv", "text\nfine\nolá\n", "latin-1")
    with pytest.raises(DatasetError, match="not UTF-8") as error:
        list(Cases(path))
    assert error.value.where == f"{path}:3"
    assert error.value.found == "byte 0xe1"
    assert "iconv" in (error.value.next_step or "")


def test_a_dataset_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such dataset"):
        list(Cases(tmp_path / "none.csv"))


@pytest.mark.parametrize("name", ["n.json", "n.jsonl"])
def test_a_number_of_thousands_of_digits_is_a_text(name: str, tmp_path: Path) -> None:
    row = f'{{"text": {"7" * 5000}}}'
    path = _file(tmp_path, name, f"[{row}]" if name == "n.json" else row)
    assert [case.values["text"] for case in Cases(path)] == ["7" * 5000]


@pytest.mark.slow
def test_a_hundred_thousand_rows_stream_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    with path.open("w") as file:
        file.write("text,label\n")
        file.writelines(f"this is review number {n},good\n" for n in range(100_000))
    cases = iter(Cases(path))
    for _ in range(1000):
        next(cases)
    tracemalloc.start()
    count = sum(1 for _ in cases)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 99_000
    assert peak < 1_000_000


def test_a_key_that_appears_twice_among_many_is_found_without_comparing_each_with_each(
    tmp_path: Path,
) -> None:
    keys = ", ".join(f'"k{number}": 1' for number in range(200_000))
    path = _file(tmp_path, "c.json", f'[{{{keys}, "k199999": 2}}]')
    with pytest.raises(DatasetError, match="'k199999' appears twice"):
        list(Cases(path))
