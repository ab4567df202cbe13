from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluate.harness import Lab

CHAT = """
prompts:
  - "{% for turn in _conversation %}U: {{ turn.input }} A: {{ turn.output }} / {% endfor %}{{ q }}"
providers: [small]
tests:
  - {vars: {q: one}, options: {storeOutputAs: first}}
  - {vars: {q: "two after {{ first }}"}}
  - {vars: {q: three}, metadata: {conversationId: other}}
  - {vars: {q: four}, options: {disableConversationVar: true}}
"""
ASKED = [
    "one",
    "U: one A: answer 1 / two after answer 1",
    "three",
    "four",
]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path, lambda _: f"answer {len(made.asked)}")
    made.write("chat.yaml", CHAT)
    return made


def test_cases_see_the_turns_and_the_answers_before_them(lab: Lab) -> None:
    lab.evaluate("chat.yaml", cached=False)
    assert len(lab.asked) == len(ASKED)
    assert all(text in prompt for text, prompt in zip(ASKED, lab.asked, strict=True))
    assert "U:" not in lab.asked[2]
    assert "U:" not in lab.asked[3]


def test_a_resumed_conversation_goes_on_where_it_was(lab: Lab) -> None:
    planned = lab.plan("chat.yaml", cached=False)
    first = lab.carry_out(planned)
    results = lab.results(first)
    lab.asked.clear()
    again = lab.resume(first.evaluation.id)
    assert lab.asked == []
    assert [case.answer for case in lab.results(again)] == [case.answer for case in results]


def test_what_was_asked_in_turn_can_be_rendered_again(lab: Lab) -> None:
    from localprompt.evaluate.received import Received

    result = lab.evaluate("chat.yaml", cached=False)
    with Received(result.evaluation, lab.open_engine) as received:
        texts = [received.text(case) or "" for case in lab.results(result)]
    assert all(wanted in text for wanted, text in zip(ASKED, texts, strict=True))


def test_answers_are_transformed_before_they_are_scored(lab: Lab) -> None:
    lab.write(
        "shout.yaml",
        """
prompts: ["{{ q }}"]
providers: [{id: small, transform: output.trim()}]
tests:
  - vars: {q: a}
    options: {transform: "output.toUpperCase()"}
    assert: [{type: starts-with, value: ANSWER}]
  - vars: {q: b}
    options: {transform: "undefined"}
    assert: [{type: starts-with, value: ANSWER}]
""",
    )
    first, second = lab.results(lab.evaluate("shout.yaml"))
    assert (first.score.passed, first.answer.startswith("answer")) == (True, True)
    assert second.score.passed is None
    assert "returned nothing" in second.score.reason
