"""Answers of one document a line: what may be written, and what is read of it."""

from __future__ import annotations

import json

import pytest

from localprompt.engine.constraints.answers import parse_lines
from localprompt.engine.constraints.completion import shortest_ending
from localprompt.engine.constraints.grammars import of_lines
from localprompt.engine.constraints.holding import hold
from tests.engine.constraints.judge import admits

SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"$ref": "#/$defs/count"},
        "more": {"type": "array", "items": {"$ref": "#"}},
    },
    "required": ["n"],
    "additionalProperties": False,
    "$defs": {"count": {"type": "integer"}},
}
LINES = of_lines(hold(SCHEMA).constraint)


@pytest.mark.parametrize(
    ("text", "follows"),
    [
        ('{"n": 1}', True),
        ('{"n": 1}\n{"n": 2, "more": [{"n": 3}]}', True),
        ("", False),
        ('{"n": 1}\n', False),
        ('{"n": 1}{"n": 2}', False),
        ('{"n": 1}\n\n{"n": 2}', False),
        ('{"n": "one"}', False),
        ('[{"n": 1}]', False),
    ],
)
def test_each_line_is_a_document_and_nothing_else(text: str, follows: bool) -> None:
    assert admits(LINES, text) is follows


def test_line_ends_inside_a_text_are_escaped() -> None:
    lines = of_lines(hold({"type": "string"}).constraint)
    assert admits(lines, json.dumps("a\nb") + "\n" + json.dumps("c"))
    assert not admits(lines, '"a\nb"')


def test_a_cut_line_can_be_closed() -> None:
    assert shortest_ending(LINES, '{"n": 1}\n{"n": 2') == "}"


def test_whole_lines_count_wherever_the_answer_was_cut() -> None:
    documents, problem = parse_lines('{"n": 1}\n{"n": 2}\n{"n"', SCHEMA, "length")
    assert documents == [{"n": 1}, {"n": 2}]
    assert problem == "line 3: the answer was cut short (length)"


def test_an_answer_cut_behind_a_line_lacks_what_follows() -> None:
    documents, problem = parse_lines('{"n": 1}\n{"n": 2}', SCHEMA, "length")
    assert documents == [{"n": 1}]
    assert problem == "line 2: the answer was cut short (length)"


def test_a_line_that_does_not_follow_the_schema_ends_the_reading() -> None:
    documents, problem = parse_lines('{"n": 1}\n{"n": null}\n{"n": 3}', SCHEMA, "stop")
    assert documents == [{"n": 1}]
    assert problem is not None
    assert problem.startswith("line 2: the answer does not follow the schema at $.n")
