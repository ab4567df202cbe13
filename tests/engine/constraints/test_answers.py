"""A finished answer is checked against its schema, whatever patterns that has."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from localprompt.engine.constraints import answers
from localprompt.engine.constraints.answers import parse_output


def _problem(document: Any, schema: dict[str, Any]) -> str | None:
    found, problem = parse_output(json.dumps(document), schema, "stop")
    assert (found is None) == (problem is not None)
    return problem


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "^(a|a)*$"},
        {"pattern": "^(a+)+$"},
        {"pattern": "^a*a*a*a*a*a*a*a*$"},
        {"propertyNames": {"pattern": "^(a|a)*$"}},
        {"patternProperties": {"^(a|a)*$": True}},
        {"patternProperties": {"^(a|a)*$": True}, "additionalProperties": False},
    ],
)
def test_a_pattern_that_is_never_done_is_stopped_in_words(
    schema: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PATTERN_SECONDS", 1.0)
    text = "a" * 4000 + "!"
    document = text if "pattern" in schema else {text: 1}
    began = time.monotonic()
    problem = _problem(document, schema)
    assert problem is not None
    assert "could not be checked against the schema: took longer" in problem
    assert time.monotonic() - began < 15


def test_patterns_are_checked_the_same_here_and_in_a_child() -> None:
    for pattern in ("^[a-z]+$", "^[a-z]+ ?[a-z]*$"):
        assert _problem("ab", {"pattern": pattern}) is None
        objection = _problem("7", {"properties": {}, "pattern": pattern})
        assert objection is not None
        assert f"$: '7' does not match '{pattern}'" in objection
    both = {"pattern": "^[0-9-]+x?$", "format": "ipv4"}
    assert "is not a 'ipv4'" in str(_problem("1-2", both))


def test_what_python_cannot_read_is_left_to_what_held_the_answer() -> None:
    assert _problem("ab", {"pattern": r"^\p{L}+$"}) is None
    closed = {
        "patternProperties": {r"^\p{L}+$": {"type": "integer"}},
        "additionalProperties": False,
    }
    assert _problem({"ab": 1}, closed) is None
    assert _problem("pattern", {"const": "pattern"}) is None


def test_an_answer_of_brackets_is_no_document() -> None:
    text = "[" * 100_000 + "]" * 100_000
    found, problem = parse_output(text, {}, "stop")
    assert found is None
    assert "the answer is not JSON" in str(problem)
