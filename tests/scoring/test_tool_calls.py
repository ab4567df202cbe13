"""Calls of tools: read in every notation, checked against their definitions."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from localprompt.records.score import Answer, Expectation, Score
from localprompt.scoring.score import score
from localprompt.scoring.tool_calls import ToolCall, read_calls, with_calls

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
NOW = {"type": "function", "function": {"name": "now", "description": "", "parameters": {}}}
CALL = ToolCall("get_weather", {"city": "Porto"})


def checked(text: str, kind: str = "is-valid-openai-tools-call", value: Any = None) -> Score:
    return score(Answer(text, tools=(WEATHER, NOW)), Expectation(kind, value))


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Porto"}}\n</tool_call>',
        '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Porto"}}]',
        'Sure! {"name": "get_weather", "parameters": {"city": "Porto"}}',
        '{"tool_calls": [{"function": {"name": "get_weather",'
        ' "arguments": "{\\"city\\":\\"Porto\\"}"}}]}',
        '[{"type": "tool_use", "name": "get_weather", "input": {"city": "Porto"}}]',
    ],
)
def test_a_call_is_found_in_every_notation(text: str) -> None:
    assert read_calls(text) == [CALL]
    assert checked(text).passed is True


def test_code_sees_calls_as_services_answer_them() -> None:
    answer = with_calls(Answer('<tool_call>{"name": "now", "arguments": {}}</tool_call>'))
    assert answer.output == [{"type": "function", "function": {"name": "now", "arguments": "{}"}}]
    assert json.loads(answer.text) == answer.output


def test_an_answer_that_calls_ended_for_its_calls() -> None:
    answer = Answer('{"name": "now", "arguments": {}}', finish_reason="stop")
    wanted = Expectation("finish-reason", "tool_calls")
    assert score(with_calls(answer), wanted).passed is True
    cut = with_calls(msgspec.structs.replace(answer, finish_reason="length"))
    assert score(cut, wanted).passed is False


def test_an_answer_without_a_call_stays_text() -> None:
    answer = Answer("It is sunny.")
    assert with_calls(answer) == answer
    assert checked("It is sunny.").reason == 'the output calls no tool: "It is sunny."'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<tool_call>{"name": get_weather}</tool_call>', "the tool call is not JSON"),
        ("<tool_call>\nget_weather(Porto", "the tool call is not JSON"),
        ('{"name": "fly", "arguments": {}}', 'called "fly", expected one of: get_weather, now'),
        ('{"name": "get_weather", "arguments": {}}', "'city' is a required property"),
        ('{"name": "get_weather", "arguments": {"city": 7}}', "$.city: 7 is not of type"),
        ('{"name": "get_weather", "arguments": "Porto"}', "are not JSON"),
    ],
)
@pytest.mark.parametrize("kind", ["is-valid-openai-tools-call", "is-valid-function-call"])
def test_a_wrong_call_fails_with_what_is_wrong(text: str, reason: str, kind: str) -> None:
    found = checked(text, kind)
    assert found.passed is False
    assert reason in found.reason


def test_every_one_of_several_calls_has_to_be_valid() -> None:
    good = '{"name": "now", "arguments": {}}'
    assert checked(f"{good}\n{good}").passed is True
    assert checked(f'{good}\n{{"name": "fly", "arguments": {{}}}}').passed is False


def test_without_tools_nothing_can_be_said_about_a_call() -> None:
    found = score(Answer('{"name": "now", "arguments": {}}'), Expectation("is-valid-function-call"))
    assert found.passed is None
    assert "was given no tools" in found.reason


@pytest.mark.parametrize(
    ("text", "value", "f1"),
    [
        ('{"name": "now", "arguments": {}}', "now", 1.0),
        ('{"name": "now", "arguments": {}}', ["now", "get_weather"], 2 / 3),
        ('[{"name": "now"}, {"name": "fly"}]', "now, get_weather", 0.5),
        ('{"functionCall": {"name": "now"}}', "now", 1.0),
        ("It is sunny.", "now", 0.0),
    ],
)
def test_f1_compares_the_names_as_sets(text: str, value: Any, f1: float) -> None:
    found = checked(text, "tool-call-f1", value)
    assert found.score == pytest.approx(f1)
    assert found.passed is (f1 == 1)


def test_f1_negated_keeps_its_score_and_asks_for_less() -> None:
    answer = Answer('{"name": "now", "arguments": {}}')
    found = score(answer, Expectation("tool-call-f1", "now", negated=True))
    assert (found.score, found.passed) == (1.0, False)
