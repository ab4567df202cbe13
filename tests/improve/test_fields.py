"""Objects are judged by their fields, and every stage of a search has its turn."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from localprompt.errors import InputError
from localprompt.evaluate.models import Models
from localprompt.improve.opening import open_search
from localprompt.improve.running import improve
from localprompt.records.improvement import Improvement, ImproveRequest
from localprompt.scoring.json_checks import fields_right
from tests.evaluate.harness import Lab, find_model

PROMPT = """---
name: read
model: {options: {temperature: 0}}
inputs:
  - {name: message, kind: string, required: true}
---
system:
Say who, and on which day, as JSON.

user:
{{ message }}
"""
DAYS = ("Monday", "Tuesday", "Friday")
_MESSAGE = re.compile(r"(\w+) comes on (\w+)")


def say(prompt: str) -> str:
    """The person, always; the day only where an example has shown how."""
    found = _MESSAGE.findall(prompt)
    person, day = found[-1]
    return json.dumps({"who": person, "day": day if '"day"' in prompt else "?"})


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path, say) as made:
        made.write("read.prompty", PROMPT)
        rows = [
            {"message": f"P{at} comes on {DAYS[at % 3]}", "expected": {"who": f"P{at}", "day": day}}
            for at in range(90)
            for day in (DAYS[at % 3],)
        ]
        made.write("cases.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        yield made


def searched(lab: Lab, metric: str | None = None, **asked: int) -> Improvement:
    request = ImproveRequest(
        prompt=str(lab.folder / "read.prompty"),
        cases=str(lab.folder / "cases.jsonl"),
        model="small",
        metric=metric,
        search=("wordings", "examples"),
        max_evaluations=asked.get("max_evaluations"),
    )
    setting = open_search(request, find_model=find_model)
    with Models(lab.open_engine, keep=True) as models:
        return improve(setting, lab.store, models, keep=lambda _: None, find_model=find_model)


def test_where_objects_are_expected_candidates_are_ranked_by_their_fields(lab: Lab) -> None:
    found = searched(lab)
    assert found.request.metric == "fields"
    assert found.final is not None
    assert (found.final.before, found.final.after) == (0.5, 1.0)
    assert found.final.shown
    winner = found.trial(found.winner)
    assert winner is not None
    assert winner.examples != "none"


def test_whole_objects_are_counted_where_that_is_asked_for(lab: Lab) -> None:
    found = searched(lab, "pass")
    assert found.final is not None
    assert (found.final.before, found.final.after) == (0.0, 1.0)
    assert found.final.test == "exact McNemar"


def test_fields_of_answers_that_are_not_objects_are_refused(lab: Lab) -> None:
    rows = "".join(f'{{"message": "P{at} comes on Monday", "expected": "P"}}\n' for at in range(40))
    lab.write("cases.jsonl", rows)
    with pytest.raises(InputError, match="fields needs an expected object in every case"):
        searched(lab, "fields")


def test_a_small_budget_leaves_the_examples_their_turn(lab: Lab) -> None:
    found = searched(lab, max_evaluations=200)
    assert found.stopped == "200 evaluations"
    assert any("example" in one.examples for one in found.trials if one.search is not None)
    assert found.final is not None
    assert found.final.after == 1.0


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ('{"a": 1, "b": {"c": 2, "d": [3]}}', 1.0),
        ('{"a": 1, "b": {"c": 2, "d": [3, 4]}}', 2 / 3),
        ('{"a": 1, "b": "c"}', 1 / 3),
        ('{"a": true, "b": {}}', 0.0),
        ('{"a": 1, "b": {"c": 2, "d": [3]}, "e": 5}', 3 / 4),
        ("[1]", 0.0),
        ("a: 1", 0.0),
    ],
)
def test_the_share_of_right_fields(answer: str, share: float) -> None:
    assert fields_right(answer, {"a": 1, "b": {"c": 2, "d": [3]}}) == pytest.approx(share)


def test_an_object_without_fields_is_met_by_itself_alone() -> None:
    assert fields_right("{}", {}) == 1.0
    assert fields_right('{"a": 1}', {}) == 0.0
