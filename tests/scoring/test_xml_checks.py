"""XML in answers: as a whole, in the middle of other words, and made to do harm."""

from __future__ import annotations

from typing import Any

import pytest

from localprompt.records.score import Answer, Expectation, Score
from localprompt.scoring.score import score

ORDER = '<order no="7"><item><name>tea</name></item><item/><note> </note></order>'


def check(text: str, kind: str, value: Any = None) -> Score:
    return score(Answer(text), Expectation(kind, value))


@pytest.mark.parametrize(
    ("text", "kind", "value", "passed"),
    [
        (ORDER, "is-xml", None, True),
        (f'<?xml version="1.0" encoding="utf-16"?>\n<!-- ü -->{ORDER}', "is-xml", None, True),
        (f"Here: {ORDER}", "is-xml", None, False),
        ("<a><b></a></b>", "is-xml", None, False),
        ("<a/><b/>", "is-xml", None, False),
        ("no XML", "is-xml", None, False),
        ("", "is-xml", None, False),
        (ORDER, "is-xml", "order.note, order.item.0.name", True),
        (ORDER, "is-xml", ["order.@_no", "order.item.1"], True),
        (ORDER, "is-xml", {"requiredElements": ["order.item"]}, True),
        (ORDER, "is-xml", "order.item.name", False),
        (ORDER, "is-xml", "item", False),
        (f"Here it is:\n```xml\n{ORDER}\n```", "contains-xml", "order.item.0.name", True),
        ("<think>2 < 3 & so</think> <answer>5</answer>", "contains-xml", "answer", True),
        ("first <a>1</a> then <b>2</b>", "contains-xml", "a, b", True),
        ("<p>one<br/>two", "contains-xml", "br", True),
        ("<p>one", "contains-xml", None, False),
        ("2 < 3 and 4 > 3", "contains-xml", None, False),
    ],
)
def test_xml_is_found_with_the_elements_that_are_asked_for(
    text: str, kind: str, value: Any, passed: bool
) -> None:
    assert check(text, kind, value).passed is passed
    assert score(Answer(text), Expectation(kind, value, negated=True)).passed is not passed


def test_what_is_missing_is_named() -> None:
    assert 'lacks "order.price"' in check(ORDER, "is-xml", "order.item, order.price").reason
    assert "not XML" in check("<a>", "is-xml").reason


def test_a_document_type_that_grows_is_refused_and_depth_does_no_harm() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
    assert "document type" in check(bomb, "is-xml").reason
    assert check("<a>" * 50_000 + "</a>" * 50_000, "is-xml").passed is True
    assert check("<a>" * 200_000, "contains-xml").passed is False
    assert check("<" * 200_000 + "<a/>" * 2000, "contains-xml", "a").passed is True


def test_elements_that_are_no_paths_leave_the_answer_unscored() -> None:
    assert check(ORDER, "is-xml", {"requiredElements": 7}).passed is None
    assert check(ORDER, "is-xml", 7).passed is None
