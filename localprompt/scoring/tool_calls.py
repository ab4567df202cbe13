"""Calls of tools in an answer, and checks on them.

A model that was given tools writes a call in the notation that it was trained on: JSON between
``<tool_call>`` marks (Qwen, Hermes), behind ``[TOOL_CALLS]`` (Mistral) or ``<|python_tag|>``
(Llama), or plain. All of them are an object with ``name`` and ``arguments`` (or ``parameters``), or
a list of such. What code of a suite sees is the form in which services answer: a list of ``{type:
function, function: {name, arguments}}`` with the arguments as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from localprompt.records.score import Answer, Expectation
from localprompt.scoring.bounded import PATTERN_SECONDS, run_bounded
from localprompt.scoring.expectations import CannotScoreError, Verdict, quoted
from localprompt.scoring.json_checks import embedded, stringified

_MARKED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)|\[TOOL_CALLS\](.*)", re.DOTALL)
_F1_THRESHOLD = 1.0


class ToolCall(msgspec.Struct, frozen=True):
    name: str
    arguments: Any
    """A mapping; the text as it stands where it is not JSON."""


def read_calls(text: str) -> list[ToolCall]:
    """The calls in an answer, in order; none where it calls no tool.

    Raises:
        CannotScoreError: brackets without end.
    """
    return [call for value in embedded(text) for call in _calls(value)]


def as_services_answer(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """The calls in the form in which services answer."""
    return [
        {
            "type": "function",
            "function": {"name": call.name, "arguments": _text(call.arguments)},
        }
        for call in calls
    ]


def with_calls(answer: Answer) -> Answer:
    """The answer as code of a suite sees it: its calls instead of their notation, and
    ``tool_calls`` as the reason why it ended.

    An answer without a call, or with one that is broken, stays text.
    """
    try:
        calls = read_calls(answer.text)
    except CannotScoreError:
        return answer
    if not calls:
        return answer
    output = as_services_answer(calls)
    ended = "tool_calls" if answer.finish_reason == "stop" else answer.finish_reason
    return msgspec.structs.replace(
        answer, text=stringified(output), output=output, finish_reason=ended
    )


def valid_call(answer: Answer, expected: Expectation) -> Verdict:
    """Every call is of a tool that there is, with arguments that follow its schema.

    Raises:
        CannotScoreError: the model was given no tools, or a schema is wrong.
    """
    if not answer.tools:
        raise CannotScoreError("the model was given no tools (config.tools of the provider)")
    calls = read_calls(answer.text)
    if not calls:
        return Verdict(False, _without_call(answer.text))
    known = {tool["function"]["name"]: tool["function"] for tool in answer.tools}
    for call in calls:
        objection = _objection(call, known)
        if objection is not None:
            return Verdict(False, objection)
    names = ", ".join(call.name for call in calls)
    return Verdict(True, f"valid calls: {names}" if len(calls) > 1 else f"a valid call of {names}")


def tool_call_f1(answer: Answer, expected: Expectation) -> Verdict:
    """The harmonic mean of precision and recall of the called tools' names, as sets; at least
    ``threshold``, 1 by default."""
    value = expected.value
    names = value.split(",") if isinstance(value, str) else map(str, value or ())
    wanted = {name.strip() for name in names} - {""}
    if not wanted:
        raise CannotScoreError("no tools are expected")
    called = set(_names(answer.text))
    common = len(wanted & called)
    score = 2 * common / (len(wanted) + len(called))
    threshold = _F1_THRESHOLD if expected.threshold is None else expected.threshold
    shown = ", ".join(sorted(called)) or "none"
    finding = f"called {shown}, expected {', '.join(sorted(wanted))}: F1 {score:.2f}"
    return Verdict((score >= threshold) != expected.negated, finding, score, as_it_is=True)


def _calls(value: Any) -> Iterator[ToolCall]:
    """The calls that a JSON value is or holds."""
    if isinstance(value, list):
        for item in value:
            yield from _calls(item)
    elif isinstance(value, dict):
        if isinstance(value.get("tool_calls"), list):
            yield from _calls(value["tool_calls"])
            return
        inner = value.get("function", value.get("function_call"))
        call = inner if isinstance(inner, dict) else value
        given = next(
            (call[key] for key in ("arguments", "parameters", "input") if key in call), None
        )
        if isinstance(call.get("name"), str) and given is not None:
            yield ToolCall(call["name"], _arguments(given))


def _arguments(given: Any) -> Any:
    """Arguments that come as text are JSON, too."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        return given


def _text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else stringified(arguments)


def _objection(call: ToolCall, known: Mapping[str, Mapping[str, Any]]) -> str | None:
    tool = known.get(call.name)
    if tool is None:
        return f"called {quoted(call.name)}, expected one of: {', '.join(known)}"
    if isinstance(call.arguments, str):
        return f"the arguments of {call.name} are not JSON: {quoted(call.arguments)}"
    schema = tool.get("parameters")
    if not schema:
        return None
    found = run_bounded("conforms", PATTERN_SECONDS, schema=schema, instance=call.arguments)
    return None if found is None else f"the arguments of {call.name}: {found}"


def _without_call(text: str) -> str:
    """Why there is no call in an answer."""
    marked = _MARKED.search(text)
    if marked is not None:
        return f"the tool call is not JSON: {quoted((marked[1] or marked[2] or '').strip())}"
    return f"the output calls no tool: {quoted(text)}"


def _names(text: str) -> Iterator[str]:
    """The names of called tools in any service's notation, with or without arguments."""
    for value in embedded(text):
        items = value if isinstance(value, list) else [value]
        for item in items:
            if not isinstance(item, dict):
                continue
            yield from (call.name for call in _calls(item))
            inner = next((item[key] for key in ("functionCall", "function") if key in item), item)
            of_list = isinstance(value, list) or item.get("type") in ("tool_use", "function_call")
            named = inner.get("name") if isinstance(inner, dict) else None
            if isinstance(named, str) and (of_list or inner is not item):
                yield named
