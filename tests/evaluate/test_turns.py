from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from localprompt.errors import DatasetError
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
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path, lambda _: f"answer {len(made.asked)}") as made:
        made.write("chat.yaml", CHAT)
        yield made


def test_cases_see_the_turns_and_the_answers_before_them(lab: Lab) -> None:
    lab.evaluate("chat.yaml", cached=False)
    assert len(lab.asked) == len(ASKED)
    assert all(text in prompt for text, prompt in zip(ASKED, lab.asked, strict=True))
    assert "U:" not in lab.asked[2]
    assert "U:" not in lab.asked[3]


JSON_CHAT = """[
{% for turn in _conversation %}
  {"role": "user", "content": {{ turn.input | dump }}},
  {"role": "assistant", "content": {{ turn.output | dump }}},
{% endfor %}
  {"role": "user", "content": {{ q | dump }}}
]
"""


def test_a_chat_of_messages_has_each_turn_before_as_messages_of_its_own(lab: Lab) -> None:
    lab.say = lambda _: f'"answer"\n{len(lab.asked)}'
    lab.write("chat.json", JSON_CHAT)
    asked = ['say "one"', "two\nlines", "three"]
    tests = [{"vars": {"q": text}} for text in asked]
    suite = {"prompts": ["file://chat.json"], "providers": ["small"], "tests": tests}
    lab.write("talk.json", json.dumps(suite))
    lab.evaluate("talk.json", cached=False)
    first, second, third = lab.asked
    answers = ['"answer"\n1', '"answer"\n2']
    assert _in_order(first, asked[:1])
    assert _in_order(second, [asked[0], answers[0], asked[1]])
    assert _in_order(third, [asked[0], answers[0], asked[1], answers[1]])


def _in_order(text: str, parts: list[str]) -> bool:
    """Whether the parts stand in the text one after the other."""
    at = 0
    for part in parts:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


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


def test_python_transforms_answers_where_that_is_allowed(lab: Lab) -> None:
    lab.write("shout.py", "def get_transform(output, context):\n    return output.upper() * 2\n")
    lab.write("none.py", "def end(output, context): print(context['vars']['q'])\n")
    text = """
prompts: ["{{ q }}"]
providers: [{id: small, transform: file://shout.py}]
tests:
  - vars: {q: a}
    assert: [{type: equals, value: ANSWER 1ANSWER 1}]
  - vars: {q: b}
    options: {transform: "file://none.py:end"}
    assert: [{type: equals, value: x}]
"""
    lab.write("shout.yaml", text)
    with pytest.raises(DatasetError, match=r"(?s)Python code.*--allow-code"):
        lab.plan("shout.yaml", cached=False)
    result = lab.evaluate("shout.yaml", cached=False, allow_code=True)
    first, second = lab.results(result)
    assert first.score.passed is True
    assert second.score.passed is None
    assert "returned nothing" in second.score.reason


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
