"""A ``.prompty`` file → one mapping in v2's long form, resolved and checked.

This is Prompty's own notion of a loaded prompt: references replaced, short forms written out,
``kind: prompt`` and ``instructions`` (the body) added. Types of the keys that v2 defines are
checked; keys that it does not define are kept. :mod:`localprompt.sources.prompt.file` makes the
record of it that the rest of the program uses.
"""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from localprompt.errors import PromptFileError
from localprompt.sources.prompt.examples import ExamplesKeys
from localprompt.sources.prompt.front_matter import (
    FrontMatter,
    KeyLines,
    parse_yaml,
    read_prompt_text,
    split_front_matter,
)
from localprompt.sources.prompt.properties import long_form
from localprompt.sources.prompt.references import References
from localprompt.sources.prompt.schemas import is_json_schema
from localprompt.sources.yaml import KeyPath

_FILE = "file://"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""What a schema is taken for that does not say."""
_PATH_PART = re.compile(r"\.([A-Za-z]\w*)|\[(\d+|\.\.\.)\]")


class _Camel(msgspec.Struct, rename="camel"):
    """What v2 defines, to check types with; keys that are not listed are not looked at."""


class _Options(_Camel):
    temperature: float | None = None
    max_output_tokens: int | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop_sequences: list[str] | None = None
    allow_multiple_tool_calls: bool | None = None
    additional_properties: dict[str, Any] | None = None


class _Model(_Camel):
    id: str | None = None
    provider: str | None = None
    api_type: str | None = None
    connection: dict[str, Any] | None = None
    options: _Options | None = None


class _Property(_Camel):
    name: str
    kind: str
    description: str | None = None
    required: bool | None = None
    nullable: bool | None = None
    enum_values: list[Any] | None = None
    strict: bool | None = None


class _Format(_Camel):
    kind: str
    strict: bool | None = None


class _Parser(_Camel):
    kind: str


class _Template(_Camel):
    format: _Format
    parser: _Parser


class _Tool(_Camel):
    name: str
    kind: str | None = None


class _LocalPrompt(_Camel):
    cases: str | None = None
    choices: list[str | int | float | bool] | None = None
    scoring: Literal["raw", "normalized"] | None = None
    bias: dict[str | int | float, float] | None = None
    label_words: dict[str, str | int | float | bool] | None = msgspec.field(
        default=None, name="label_words"
    )
    examples: ExamplesKeys | None = None
    grammar: str | None = None


class _Metadata(_Camel):
    localprompt: _LocalPrompt | None = None


class _Document(_Camel):
    name: str | None = None
    display_name: str | None = None
    description: str | None = None
    metadata: _Metadata | None = None
    model: _Model | None = None
    inputs: list[_Property] | None = None
    outputs: list[_Property] | dict[str, Any] | None = None
    tools: list[_Tool] | None = None
    template: _Template | None = None


class RawDocument(msgspec.Struct, frozen=True):
    """A file that was read; nothing in it is resolved yet."""

    path: Path
    data: dict[str, Any]
    """The front matter as it stands in the file."""
    lines: KeyLines
    matter: FrontMatter
    bytes: bytes


def load_document(path: Path | str, *, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A v2 file, loaded as Prompty's specification says.

    Args:
        path: of the file.
        env: what ``${env:…}`` sees; the process's environment if it is left out.

    Raises:
        PromptFileError: with the file, line and key of what is wrong.
    """
    raw = read_raw(Path(path))
    if isinstance(raw.data.get("template"), str) and not raw.data["template"].startswith("${"):
        raise PromptFileError(
            "the template is a word, as in v1",
            where=raw.lines.where(("template",)),
            expected="template: {format: {kind: jinja2}, parser: {kind: prompty}}",
            found=repr(raw.data["template"]),
            next_step=f"localprompt prompts lint --fix {shlex.quote(str(path))}",
        )
    return resolve_document(raw, raw.data, env=env)


def read_raw(path: Path) -> RawDocument:
    """Read a prompt file and its YAML.

    Raises:
        PromptFileError: the file cannot be read, or its front matter is no YAML mapping.
    """
    text, data = read_prompt_text(path)
    matter = split_front_matter(text, str(path))
    if matter.yaml is None:
        return RawDocument(path, {}, KeyLines(str(path)), matter, data)
    front, lines = parse_yaml(matter.yaml, str(path), matter.yaml_line)
    if front is None:
        front = {}
    if not isinstance(front, dict) or not all(isinstance(key, str) for key in front):
        raise PromptFileError(
            "the front matter is not a mapping",
            where=f"{path}:{matter.yaml_line}",
            expected="keys and values, as 'name: summarize'",
            found=type(front).__name__,
        )
    return RawDocument(path, front, lines, matter, data)


def resolve_document(
    raw: RawDocument, data: Mapping[str, Any], *, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Resolve references in front matter, write short forms out, check types, add the body.

    Args:
        raw: the file; says where things are.
        data: its front matter, perhaps after v1's words were replaced.
        env: as for :func:`load_document`.

    Raises:
        PromptFileError: as :func:`load_document`.
    """
    environment = os.environ if env is None else env
    references = References(raw.path.resolve().parent, environment, raw.lines)
    document: dict[str, Any] = references.resolve(dict(data))
    if _is_file(document.get("outputs")):
        document["outputs"] = _schema_file(document["outputs"], references)
    if isinstance(document.get("model"), str):
        document["model"] = {"id": document["model"]}
    if document.get("template") is None:
        document["template"] = {"format": {"kind": "jinja2"}, "parser": {"kind": "prompty"}}
    elif isinstance(document["template"], dict):
        defaults = {"format": {"kind": "jinja2"}, "parser": {"kind": "prompty"}}
        document["template"] = {**defaults, **document["template"]}
    for key in ("inputs", "outputs"):
        schema = document.get(key)
        if schema is not None and not _is_schema(key, schema):
            document[key] = long_form(schema, (key,), raw.lines)
    if isinstance(document.get("tools"), dict):
        document["tools"] = [_tool(name, tool) for name, tool in document["tools"].items()]
    _check_types(document, raw.lines)
    _check_finite(document, raw.lines)
    document["kind"] = "prompt"
    document["instructions"] = raw.matter.body.rstrip("\n")
    return document


def _is_schema(key: str, value: Any) -> bool:
    return key == "outputs" and is_json_schema(value)


def _is_file(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_FILE)


def _schema_file(value: str, references: References) -> dict[str, Any]:
    """``outputs: file://schema.json``: a JSON Schema beside the prompt."""
    name = value.removeprefix(_FILE)
    schema = references.resolve(f"${{file:{name}}}", ("outputs",))
    if not isinstance(schema, dict):
        raise PromptFileError(
            f"the file {name!r} is not a JSON Schema",
            where=references.lines.where(("outputs",)),
            expected="a mapping, as in a .json or .yaml file",
            found=type(schema).__name__,
        )
    return schema if is_json_schema(schema) else {"$schema": _DIALECT, **schema}


def _tool(name: str, tool: Any) -> Any:
    return {"name": name, **tool} if isinstance(tool, dict) else {"name": name, "kind": tool}


def _check_types(document: Mapping[str, Any], lines: KeyLines) -> None:
    try:
        msgspec.convert(document, _Document)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        path = _key_path(place.rstrip("`"))
        expected = re.search(r"[Ee]xpected `([^`]*)`", problem)
        found = re.search(r"got `([^`]*)`", problem)
        raise PromptFileError(
            f"{path[-1] if path else 'the front matter'} has the wrong type"
            if expected
            else problem[0].lower() + problem[1:],
            where=lines.where(path),
            expected=_words(expected.group(1)) if expected else None,
            found=_words(found.group(1)) if found else None,
        ) from None


def _check_finite(document: Mapping[str, Any], lines: KeyLines) -> None:
    options = (document.get("model") or {}).get("options") or {}
    for key, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise PromptFileError(
                f"{key} is not a finite number",
                where=lines.where(("model", "options", key)),
                expected="a number",
                found=str(value),
            )


_NAMES = {
    "array": "a list",
    "object": "a mapping",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}


def _words(types: str) -> str:
    """``int | null`` → ``a whole number``."""
    parts = [_NAMES.get(part, part) for part in types.split(" | ") if part != "null"]
    return " or ".join(parts) or "nothing"


def _key_path(place: str) -> KeyPath:
    """``.inputs[0].required`` → its path; an index that msgspec leaves out stays out."""
    parts = (part.groups() for part in _PATH_PART.finditer(place))
    return tuple(name or int(index) for name, index in parts if index != "...")
