"""The shortest way to the end of a cut answer."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from localprompt.engine.constraints.completion import shortest_ending
from localprompt.engine.constraints.grammars import of_choices
from localprompt.engine.constraints.holding import hold

_ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3},
        "size": {"enum": ["small", "large"]},
        "lines": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"n": {"type": "integer", "minimum": 10}, "t": {"type": "string"}},
                "required": ["n", "t"],
            },
        },
    },
    "required": ["name", "size", "lines"],
}
_WHOLE = json.dumps(
    {"name": 'Ana "K" \\ Ö', "size": "large", "lines": [{"n": 12, "t": "{"}, {"n": 300, "t": ""}]},
    ensure_ascii=False,
)


@pytest.mark.parametrize("length", range(len(_WHOLE) + 1))
def test_every_beginning_of_an_answer_can_be_brought_to_a_valid_end(length: int) -> None:
    ending = shortest_ending(hold(_ORDER).constraint, _WHOLE[:length])
    assert ending is not None
    jsonschema.validate(json.loads(_WHOLE[:length] + ending), _ORDER)


def test_the_ending_is_short() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    assert shortest_ending(hold(schema).constraint, '{"a": "so far') == '"}'
    assert shortest_ending(of_choices(("positive", "negative")), "neg") == "ative"
    assert shortest_ending(of_choices(("positive", "negative")), "negative") == ""


def test_what_does_not_follow_its_constraint_has_no_ending() -> None:
    assert shortest_ending(of_choices(("a", "b")), "c") is None


def test_an_end_that_is_too_far_away_is_none() -> None:
    schema = {"type": "string", "minLength": 100_000}
    assert shortest_ending(hold(schema).constraint, '"') is None
