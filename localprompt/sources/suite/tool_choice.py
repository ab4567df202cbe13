"""Whether a model may, must or must not call one of its tools: ``tool_choice``, in every form.

``auto`` leaves it to the model. ``none`` takes the tools away from it. ``required``, or the name of
a function, holds the answer to a call by a JSON Schema: ``{"name": …, "arguments": …}``, which is
what stands inside of the marks of each model's own notation. OpenAI, Anthropic (``{type: any}``),
Mistral (``any``), Google (``functionCallingConfig``) and Bedrock (``{tool: {name}}``) write it
differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from localprompt.sources.suite.problems import Problems
from localprompt.sources.yaml import At

KEYS = ("tool_choice", "toolChoice", "toolConfig", "tool_config", "function_call")
Mode = Literal["auto", "none", "required"]
_WORDS: dict[str, Mode] = {
    "auto": "auto",
    "validated": "auto",
    "none": "none",
    "required": "required",
    "any": "required",
}
_NO_ARGUMENTS = {"type": "object", "properties": {}}

Tools = tuple[dict[str, Any], ...]


class ToolChoice(msgspec.Struct, frozen=True):
    """What a config asks for."""

    mode: Mode
    names: tuple[str, ...] = ()
    """The functions that it is about; none: all of them."""


def chosen_tools(
    config: Any, tools: Tools, at: At, problems: Problems, notes: dict[str, None]
) -> tuple[Tools, dict[str, Any] | None]:
    """The tools that the model is told of, and the schema of the call that it has to make."""
    key = next((k for k in KEYS if isinstance(config, dict) and config.get(k) is not None), None)
    if key is None:
        return tools, None
    choice = read_choice(config[key])
    if choice is None:
        wanted = "auto, none, required or a function by name"
        problems.add(at / key, "not a choice of tools", wanted, repr(config[key]))
        return tools, None
    if not tools:
        notes[f"{at / key}: {key!r} is ignored: there are no functions to call"] = None
        return tools, None
    known = {tool["function"]["name"]: tool for tool in tools}
    if missing := [name for name in choice.names if name not in known]:
        message = f"{key} names a function that is not one of the tools"
        problems.add(at / key, message, f"one of: {', '.join(known)}", missing[0])
        return tools, None
    if choice.mode == "none":
        return (), None
    named = tuple(known[name] for name in choice.names) or tools
    return (named, None) if choice.mode == "auto" else (tools, call_schema(named))


def read_choice(value: Any) -> ToolChoice | None:
    """A choice in any service's form; None: it is none."""
    if isinstance(value, str):
        mode = _WORDS.get(value.lower())
        return None if mode is None else ToolChoice(mode)
    if not isinstance(value, dict):
        return None
    if "toolChoice" in value or ("tools" in value and "type" not in value):
        return read_choice(value.get("toolChoice", "auto"))  # Bedrock's, with the tools beside it
    google = value.get("functionCallingConfig", value.get("function_calling_config"))
    if isinstance(google, dict):
        names = google.get("allowedFunctionNames", google.get("allowed_function_names"))
        return _about(google.get("mode", "auto"), names or [])
    if value.get("type") == "allowed_tools":
        given = value.get("tools")
        named = [_name(tool) for tool in given] if isinstance(given, list) else [None]
        return _about(value.get("mode", "auto"), named)
    name = _name(value)
    if name is not None:
        return ToolChoice("required", (name,))
    words = [value["type"]] if isinstance(value.get("type"), str) else list(value)
    return read_choice(words[0]) if len(words) == 1 and isinstance(words[0], str) else None


def call_schema(tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The JSON Schema of a call of one of the tools."""
    if len(tools) == 1:
        return _call(tools[0]["function"], "#")
    calls = [_call(t["function"], f"#/anyOf/{index}") for index, t in enumerate(tools)]
    return {"anyOf": calls}


def _about(mode: Any, names: Any) -> ToolChoice | None:
    found = read_choice(mode) if isinstance(mode, str) else None
    if found is None or not isinstance(names, list):
        return None
    if not all(isinstance(name, str) for name in names):
        return None
    return ToolChoice(found.mode, tuple(names))


def _name(value: Any) -> str | None:
    """The name of a function, which may stand in ``function`` or ``tool``."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return None
    inner = value.get("function", value.get("tool", value.get("name")))
    return _name(inner)


def _call(function: Mapping[str, Any], place: str) -> dict[str, Any]:
    given = function["parameters"]
    if given == _NO_ARGUMENTS:
        given = {**_NO_ARGUMENTS, "additionalProperties": False}
    arguments = _moved(given, f"{place}/properties/arguments")
    return {
        "type": "object",
        "properties": {"name": {"const": function["name"]}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _moved(schema: Any, place: str) -> Any:
    """A schema whose references lead to where it stands now."""
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _moved(item, place) for key, item in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        made["$ref"] = place + reference[1:]
    return made
