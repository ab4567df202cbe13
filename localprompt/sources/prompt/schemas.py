"""A JSON Schema from where people have one: a file, the command line, or a few words.

``name, age int, tags [str]`` is the short form of the tool ``llm``, with lists beside it: names
with a type each, ``str`` where none is given, and a description behind a colon. Several are
separated by commas, or by line ends where descriptions have commas in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localprompt import doors
from localprompt.errors import InputError

MOST_BYTES = 4 << 20
"""The largest schema that is read."""

_OPTION = "--schema"
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_SHORT = re.compile(r"(?P<name>\w[\w-]*)(?:\s+(?P<type>\w+|\[\s*\w+\s*\]))?(?:\s*:(?P<about>.*))?")
_WORDS = frozenset(
    "$schema $ref $defs definitions anyOf oneOf allOf enum const properties".split()  # noqa: SIM905
)
_JSON_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")


def schema_from(text: str) -> dict[str, Any]:
    """A schema as it is given on the command line.

    Args:
        text: the name of a JSON or YAML file, JSON itself, or the short form.

    Raises:
        InputError: it is none of these, or the file cannot be read.
    """
    if text.lstrip().startswith("{"):
        return _schema(_json(text, _OPTION), _OPTION)
    path = Path(text)
    named = "/" in text or path.suffix.lower() in (".json", ".yaml", ".yml")
    if named or _is_file(path):
        return _schema(_read(path), text)
    return _short_form(text)


def is_json_schema(value: Any) -> bool:
    """Whether ``outputs`` is a JSON Schema and not a mapping of properties by name."""
    if not isinstance(value, Mapping):
        return False
    if value.get("type") == "object" and isinstance(value.get("properties"), Mapping):
        return True
    if value.get("type") == "array" and isinstance(value.get("items"), (Mapping, bool)):
        return True
    return (
        "$schema" in value
        or "$ref" in value
        or any(isinstance(value.get(word), list) for word in ("anyOf", "oneOf", "allOf"))
    )


def with_nulls(schema: Any) -> Any:
    """A schema in which OpenAPI's ``nullable: true`` says what JSON Schema can check."""
    if isinstance(schema, list):
        return [with_nulls(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    whole = {
        key: value if key in ("enum", "const", "default", "examples") else with_nulls(value)
        for key, value in schema.items()
    }
    if whole.get("nullable") is not True:
        return whole
    del whole["nullable"]
    return or_null(whole)


def or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, and null as well."""
    types = schema.get("type")
    if types is None:
        return {"anyOf": [schema, {"type": "null"}]} if schema else schema
    types = types if isinstance(types, list) else [types]
    schema["type"] = [*types, *(["null"] if "null" not in types else [])]
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    return schema


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _read(path: Path) -> Any:
    try:
        if not path.is_file():
            raise InputError("no such file", where=_OPTION, found=str(path))
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(
            "the schema cannot be read",
            where=str(path),
            expected="a JSON or YAML file in UTF-8",
            found=str(error),
        ) from error
    if len(data) > MOST_BYTES:
        raise InputError(
            "the schema is too large", where=str(path), expected=f"at most {MOST_BYTES:,} bytes"
        )
    if path.suffix.lower() in (".yaml", ".yml"):
        from localprompt.sources.yaml import read_yaml

        return read_yaml(text, str(path)).data
    return _json(text, str(path))


def _json(text: str, where: str) -> Any:
    try:
        return doors.parse_json(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"not JSON: {error.msg.lower()}", where=f"{where}:{error.lineno}:{error.colno}"
        ) from None
    except ValueError as error:
        raise InputError("not JSON", where=where, found=str(error)) from None


def _schema(value: Any, where: str) -> dict[str, Any]:
    known = isinstance(value, Mapping) and (
        not _WORDS.isdisjoint(value)
        or not value
        or isinstance(value.get("type"), list)
        or value.get("type") in _JSON_TYPES
    )
    if not known:
        raise InputError(
            "not a JSON Schema",
            where=where,
            expected='a mapping with type or properties, as {"type": "object", …}',
            found=json.dumps(value, ensure_ascii=False)[:60],
        )
    schema: dict[str, Any] = with_nulls(dict(value))
    return schema


def _short_form(text: str) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for part in text.strip().split("\n" if "\n" in text.strip() else ","):
        match = _SHORT.fullmatch(part.strip())
        if match is None or match["name"] in properties:
            raise InputError(
                f"{match['name']!r} appears twice" if match else "not a schema",
                where=_OPTION,
                expected="a file, or names with types, as 'name, age int, tags [str]'",
                found=repr(part.strip()),
            )
        properties[match["name"]] = _short_type(match["type"])
        if match["about"] and match["about"].strip():
            properties[match["name"]]["description"] = match["about"].strip()
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _short_type(word: str | None) -> dict[str, Any]:
    if word is not None and word.startswith("["):
        return {"type": "array", "items": _short_type(word.strip("[] "))}
    if word is not None and word not in _TYPES:
        raise InputError(
            "not a type", where=_OPTION, expected=", ".join((*_TYPES, "[str]")), found=word
        )
    return {"type": _TYPES[word or "str"]}
