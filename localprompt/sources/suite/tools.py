"""The functions that a suite lets a model call, in the one form that chat templates take.

Services write the same thing in ways of their own: ``function`` (OpenAI), ``input_schema``
(Anthropic), ``functionDeclarations`` (Google), ``toolSpec`` (Bedrock). What is no function (a
search, a code interpreter) belongs to the service; it is left out, and said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from localprompt.errors import DatasetError
from localprompt.sources.documents import SCHEMA_KEYS, read_document
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.suite.problems import Problems
from localprompt.sources.suite.values import file_path
from localprompt.sources.yaml import At

KEYS = ("tools", "functions")
_DECLARED = ("functionDeclarations", "function_declarations")


def read_tools(
    config: Any, folder: SuiteFolder, at: At, problems: Problems, notes: dict[str, None]
) -> tuple[dict[str, Any], ...]:
    """``tools`` or ``functions`` of a config (Bedrock's stand in its ``toolConfig``), or of the
    file that it names."""
    if isinstance(config, dict) and isinstance(config.get("toolConfig"), dict):
        config, at = {**config["toolConfig"], **config}, at / "toolConfig"
    for key in KEYS:
        value = config.get(key) if isinstance(config, dict) else None
        if value is None:
            continue
        try:
            if isinstance(value, str):
                value = read_document(file_path(value, folder, at / key), allow=folder.allow).data
        except DatasetError as error:
            problems.add_error(error, at / key)
            return ()
        if not isinstance(value, (list, dict)):
            problems.add(at / key, "not a list of tools", "{type: function, function: {name, …}}")
            return ()
        found = []
        for tool in _functions(value):
            if isinstance(tool, str):
                notes[f"{at / key}: the tool {tool!r} is left out: it belongs to a service"] = None
            else:
                found.append(tool)
        return tuple(found)
    return ()


def _functions(value: Any) -> Iterator[dict[str, Any] | str]:
    """The functions in a definition; the name of what is none."""
    if isinstance(value, list):
        for item in value:
            yield from _functions(item)
        return
    if not isinstance(value, dict):
        yield str(value)
        return
    declared = next((value[key] for key in _DECLARED if key in value), None)
    if declared is not None:
        yield from _functions(declared)
        return
    inner = value.get("function", value.get("toolSpec", value.get("definition", value)))
    if isinstance(inner, dict) and isinstance(inner.get("schema"), dict):
        inner = inner["schema"]
    if isinstance(inner, dict) and isinstance(inner.get("name"), str):
        yield _function(inner)
    else:
        yield str(value.get("type") or next(iter(value), "without a name"))


def _function(given: Mapping[str, Any]) -> dict[str, Any]:
    schema = next((given[key] for key in SCHEMA_KEYS if given.get(key) is not None), None)
    if isinstance(schema, dict) and isinstance(schema.get("json"), dict):
        schema = schema["json"]
    schema = {"type": "object", "properties": {}} if schema is None else _lower_types(schema)
    told = {"name": given["name"], "description": given.get("description") or ""}
    return {"type": "function", "function": {**told, "parameters": schema}}


def _lower_types(schema: Any) -> Any:
    """Google writes ``STRING`` where JSON Schema has ``string``."""
    if isinstance(schema, list):
        return [_lower_types(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _lower_types(item) for key, item in schema.items()}
    if isinstance(made.get("type"), str):
        made["type"] = made["type"].lower()
    return made
