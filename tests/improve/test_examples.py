"""Solved cases in a template: as turns, or as text in the last one."""

from __future__ import annotations

import pytest

from localprompt.improve.examples import (
    ExampleSet,
    can_take_block,
    example_of,
    with_block,
    with_turns,
)
from localprompt.improve.variants import Variant, body_with
from localprompt.improve.wordings import Wording
from localprompt.records.prompt import Example
from localprompt.records.score import Answer, Expectation
from localprompt.scoring.score import score
from localprompt.sources.suite.records import EvalCase

CUED = "system:\nSay good or bad.\n\nuser:\nHints below.\n\nText: {{ text }}\nTone:\n"
TWO = (Example({"text": "a fine day"}, "good"), Example({"text": "{{ grey }}"}, "bad"))


def test_as_text_each_example_looks_as_the_case_does_with_its_answer_behind_the_cue() -> None:
    assert with_block(CUED, TWO) == (
        "system:\nSay good or bad.\n\nuser:\nHints below.\n\n"
        "Text: a fine day\nTone: good\n\n"
        "Text: {% raw %}{{ grey }}{% endraw %}\nTone: bad\n\n"
        "Text: {{ text }}\nTone:\n"
    )


def test_a_name_on_a_line_of_its_own_belongs_to_the_case() -> None:
    body = "user:\nDecide.\nText:\n{{ text }}\nTone:\n"
    assert with_block(body, TWO[:1]) == (
        "user:\nDecide.\n\nText:\na fine day\nTone: good\n\nText:\n{{ text }}\nTone:\n"
    )


def test_as_turns_each_example_is_asked_and_answered() -> None:
    text = with_turns(CUED, TWO[:1])
    assert text.index("Tone:\n\nassistant:\ngood\n\nuser:") < text.index("{{ text }}")


@pytest.mark.parametrize(
    ("body", "able"),
    [
        (CUED, True),
        ("user:\n{{ text }}\n", False),
        ("user:\nTone:\n", False),
        ("user:\n{% if text %}{{ text }}{% endif %}\nTone:\n", False),
    ],
)
def test_only_a_turn_that_ends_with_a_cue_takes_examples_as_text(body: str, able: bool) -> None:
    assert can_take_block(body) is able


def test_examples_answer_in_the_label_words() -> None:
    wording = Wording("cued", CUED, (("good", "great"), ("bad", "awful")))
    text = body_with(wording, TWO[:1], block=True)
    assert "Tone: great" in text
    shown = ExampleSet("one", TWO[:1], block=True)
    assert Variant(wording, shown).body == text


@pytest.mark.parametrize("value", [True, False, 4.0, 3, 2.5, "yes", {"ok": True}])
def test_an_example_shows_an_answer_that_its_own_case_takes(value: object) -> None:
    expected = Expectation("equals", value)
    case = EvalCase(id="a", index=0, vars={"text": "x"}, expectations=(expected,))
    assert score(Answer(example_of(case).answer), expected).passed is True
