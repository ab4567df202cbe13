"""A user's examples, cut to as many as both sides may learn from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localprompt.errors import DatasetError
from localprompt.evidence.data import count_examples, first_examples

ROWS = [
    {"review": "It leaks,\nand it hums.", "expected": "negative"},
    {"review": "Olá, é ótimo.", "expected": "positive", "note": None},
    {"review": "Fine.", "expected": "positive"},
]


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_json_examples_keep_their_columns_and_values(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"mine{suffix}"
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    source.write_text(lines if suffix == ".jsonl" else json.dumps(ROWS))
    found = first_examples(source, 2, tmp_path / "kept", "contrast-x")
    assert found == tmp_path / "kept" / "contrast-x.jsonl"
    assert [json.loads(line) for line in found.read_bytes().splitlines()] == ROWS[:2]
    assert count_examples(source) == 3


def test_csv_examples_stay_csv(tmp_path: Path) -> None:
    source = tmp_path / "mine.csv"
    source.write_text('review,__expected\n"It leaks,\nand it hums.",negative\nFine.,positive\n')
    found = first_examples(source, 1, tmp_path, "contrast-x")
    assert found.read_text() == 'review,__expected\n"It leaks,\nand it hums.",negative\n'
    assert count_examples(source) == 2


def test_a_broken_row_is_refused_with_its_line(tmp_path: Path) -> None:
    source = tmp_path / "mine.jsonl"
    source.write_text('{"review": "Fine.", "expected": "positive"}\n{"review": \n')
    with pytest.raises(DatasetError) as caught:
        first_examples(source, 2, tmp_path, "contrast-x")
    assert caught.value.where == f"{source}:2"


def test_an_unknown_kind_of_file_says_which_there_are(tmp_path: Path) -> None:
    source = tmp_path / "mine.txt"
    source.write_text("Fine. positive\n")
    with pytest.raises(DatasetError, match="unknown kind of dataset"):
        count_examples(source)


def test_a_row_with_too_many_cells_is_an_error_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("text,label\na,b\nc,d,e\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="different number of cells") as caught:
        first_examples(path, 5, tmp_path, "few")
    assert caught.value.where == f"{path}:3"
