"""Inputs and outputs of a prompt: Prompty's properties in all their forms.

Written out, a property is ``{name, kind, description, required, default, …}`` in a list. Both a
mapping by name and bare values are allowed instead: ``inputs: {tone: plain}`` declares a string
with a default. Everything after :func:`long_form` knows the list only.

As a JSON Schema, an object is closed, and its properties are required unless the file says
``required: false``. Prompty leaves that to the provider; what is generated here follows a grammar,
and an answer that may leave out everything that was asked for is of no use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from localprompt.errors import PromptFileError
from localprompt.records.prompt import InputSpec
from localprompt.sources.prompt.front_matter import KeyLines
from localprompt.sources.prompt.schemas import is_json_schema, or_null, with_nulls
from localprompt.sources.yaml import KeyPath, scalar, word

KINDS = ("string", "integer", "float", "number", "boolean", "array", "object")
RICH_KINDS = ("image", "file", "audio")
"""Inputs that are no text; localprompt reads such files and does not render them."""

_FIELDS = frozenset(
    {
        "kind", "name", "description", "required", "nullable", "default", "example",
        "enumValues", "strict", "items", "properties", "oneOf", "anyOf",
    }
)  # fmt: skip
_JSON_TYPES = {"float": "number"} | {kind: kind for kind in KINDS if kind != "float"}


def kind_of(value: Any) -> str:
    """The kind that a bare value stands for."""
    for kinds, kind in (
        (bool, "boolean"),
        (int, "integer"),
        (float, "float"),
        (list, "array"),
        (dict, "object"),
    ):
        if isinstance(value, kinds):
            return kind
    return "string"


def long_form(value: Any, at: KeyPath, lines: KeyLines) -> list[dict[str, Any]]:
    """``inputs`` or ``outputs`` in any form → a list of properties with name and kind.

    Raises:
        PromptFileError: it is neither a list nor a mapping, or a property has no name.
    """
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [_property(str(name), entry) for name, entry in value.items()]
    if not isinstance(value, list):
        raise PromptFileError(
            f"{at[-1]} is not a list of properties",
            where=lines.where(at),
            expected="a list of {name, kind, …}",
            found=type(value).__name__,
        )
    properties = []
    for index, entry in enumerate(value):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if not isinstance(name, str) or not name:
            raise PromptFileError(
                "a property has no name",
                where=lines.where((*at, index)),
                expected="{name, kind, …}",
                found=repr(entry)[:60],
            )
        properties.append(_property(name, entry))
    return properties


def input_specs(properties: list[dict[str, Any]], *, strict: bool) -> tuple[InputSpec, ...]:
    """Properties in long form, already of the right types → what the prompt asks for."""
    return tuple(
        InputSpec(
            name=entry["name"],
            kind=entry["kind"],
            description=entry.get("description"),
            default=of_kind(entry.get("default"), entry["kind"]),
            required=entry.get("default") is None
            and entry.get("required") is not False
            and entry["kind"] != "thread",
            insisted=bool(entry.get("required")),
            enum_values=tuple(of_kind(v, entry["kind"]) for v in entry.get("enumValues") or ()),
            strict=bool(entry.get("strict", strict)),
        )
        for entry in properties
    )


def of_kind(value: Any, kind: str) -> Any:
    """A value of the front matter as its property's kind: a word for a string, else a number.

    What is of neither kind stays as it is; whoever checks values says so.
    """
    if kind == "string":
        return word(value)
    if kind not in ("integer", "float", "number") or not isinstance(value, str):
        return value
    number = scalar(value)
    wanted: type | tuple[type, ...] = int if kind == "integer" else (int, float)
    return number if isinstance(number, wanted) and not isinstance(number, bool) else value


def output_schema(value: Any, at: KeyPath, lines: KeyLines) -> dict[str, Any] | None:
    """``outputs`` → JSON Schema of the answer; None where there are none.

    A mapping that already is a JSON Schema is taken as it is, but for ``nullable``.

    Raises:
        PromptFileError: as :func:`long_form`, or a union without branches.
    """
    if is_json_schema(value):
        schema: dict[str, Any] = with_nulls(dict(value))
        return schema
    properties = long_form(value, at, lines)
    return _object_schema(properties, at, lines) if properties else None


def _property(name: str, entry: Any) -> dict[str, Any]:
    """One property in long form; a mapping of other keys is the default of an object."""
    if isinstance(entry, Mapping) and (_FIELDS.issuperset(entry) or "kind" in entry):
        kind = entry.get("kind") or kind_of(entry.get("default", entry.get("example")))
        return {"name": name, "kind": kind, **_without(entry, "name", "kind")}
    if entry is None:
        return {"name": name, "kind": "string"}
    return {"name": name, "kind": kind_of(entry), "default": entry}


def _object_schema(
    properties: list[dict[str, Any]], at: KeyPath, lines: KeyLines
) -> dict[str, Any]:
    required = [entry["name"] for entry in properties if entry.get("required") is not False]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            entry["name"]: _schema(entry, (*at, index), lines)
            for index, entry in enumerate(properties)
        },
    }
    if required:
        schema["required"] = required
    schema["additionalProperties"] = False
    return schema


def _schema(entry: Mapping[str, Any], at: KeyPath, lines: KeyLines) -> dict[str, Any]:
    _check_types(entry, at, lines)
    kind = entry.get("kind", "string")
    schema: dict[str, Any] = {}
    if kind == "union":
        schema = dict(_union(entry, at, lines))
    elif kind == "array":
        schema = {"type": "array"}
        if entry.get("items") is not None:
            schema["items"] = _schema(_property("items", entry["items"]), (*at, "items"), lines)
    elif kind == "object" and entry.get("properties"):
        inner = long_form(entry["properties"], (*at, "properties"), lines)
        schema = _object_schema(inner, (*at, "properties"), lines)
    elif kind in _JSON_TYPES:
        schema = {"type": _JSON_TYPES[kind]}
    if entry.get("description"):
        schema["description"] = entry["description"]
    if entry.get("enumValues"):
        schema["enum"] = [of_kind(value, kind) for value in entry["enumValues"]]
    return or_null(schema) if entry.get("nullable") and kind != "union" else schema


def _check_types(entry: Mapping[str, Any], at: KeyPath, lines: KeyLines) -> None:
    """Of what a property inside another one has; those at the top were checked with the file.

    Raises:
        PromptFileError: one is wrong.
    """
    for key, wanted, expected in (
        ("kind", str, "text"),
        ("enumValues", list, "a list"),
        ("oneOf", list, "a list"),
        ("anyOf", list, "a list"),
    ):
        value = entry.get(key)
        if value is not None and not isinstance(value, wanted):
            raise PromptFileError(
                f"{key} has the wrong type",
                where=lines.where((*at, key)),
                expected=expected,
                found=repr(value)[:60],
            )


def _union(entry: Mapping[str, Any], at: KeyPath, lines: KeyLines) -> Iterator[tuple[str, Any]]:
    given = [word for word in ("oneOf", "anyOf") if entry.get(word)]
    if len(given) != 1:
        raise PromptFileError(
            "a union needs its branches",
            where=lines.where(at),
            expected="either oneOf or anyOf",
            found="both" if given else "neither",
        )
    (word,) = given
    branches = [
        _schema(_property("", branch), (*at, word, index), lines)
        for index, branch in enumerate(entry[word])
    ]
    if entry.get("nullable"):
        branches.append({"type": "null"})
    yield word, branches


def _without(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in names}
