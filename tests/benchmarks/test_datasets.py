"""The files that ``improve`` is measured on are what their script makes."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.datasets import make_improve

DATASETS = Path(__file__).parents[2] / "benchmarks" / "datasets"


@pytest.mark.parametrize("name", ["tickets", "notes"])
def test_a_table_has_the_rows_that_its_script_makes(name: str) -> None:
    with (DATASETS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    chance = random.Random(f"{make_improve.SEED} {name}")
    made = list(getattr(make_improve, name)(chance))
    chance.shuffle(made)
    assert rows == made
    assert len({json.dumps(row) for row in rows}) == len(rows) >= 300


def test_every_field_of_a_meeting_stands_in_its_message() -> None:
    lines = (DATASETS / "meetings.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) >= 300
    for row in rows:
        assert all(value in row["message"] for value in row["expected"].values()), row


def test_the_four_desks_are_equally_frequent() -> None:
    with (DATASETS / "tickets.csv").open(encoding="utf-8", newline="") as file:
        counts = Counter(row["expected"] for row in csv.DictReader(file))
    assert len(counts) == 4
    assert len(set(counts.values())) == 1
