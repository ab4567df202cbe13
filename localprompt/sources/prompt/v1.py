"""What the first version of Prompty's format called things, in the words of the second.

Files of both versions are around. :func:`modernize` is used twice: by the loader, so that a v1
file runs, and by ``prompts lint --fix``, so that it becomes a v2 file. It is the only place that
knows v1, and it changes the words, never the meaning; a value that is neither stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from localprompt.sources.prompt.properties import kind_of
from localprompt.sources.yaml import KeyPath

_MODEL = {"api": "apiType", "configuration": "connection", "parameters": "options"}
_OPTIONS = {
    "max_tokens": "maxOutputTokens",
    "max_output_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "top_p": "topP",
    "top_k": "topK",
    "min_p": "minP",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "stop": "stopSequences",
    "stop_sequences": "stopSequences",
}
_PROVIDERS = {"azure_openai": "foundry", "azure_serverless": "foundry"}
_CONNECTION = {
    "azure_endpoint": "endpoint",
    "base_url": "endpoint",
    "api_key": "apiKey",
    "azure_deployment": "deployment",
}
_ABOUT = ("authors", "author", "tags", "version")
_TYPES = {"list": "array", "bool": "boolean", "int": "integer", "str": "string", "dict": "object"}


class Renamed(msgspec.Struct, frozen=True):
    """One word of v1, and what it is called now."""

    path: KeyPath
    now: str


def modernize(data: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Renamed, ...]]:
    """Front matter in v2's words, and what had to be renamed for it; the argument stays."""
    changes: list[Renamed] = []
    modern = {key: value for key, value in data.items() if key not in (*_ABOUT, "sample")}
    about = {key: data[key] for key in _ABOUT if key in data}
    if about:
        metadata = modern.get("metadata")
        modern["metadata"] = {**about, **(metadata if isinstance(metadata, Mapping) else {})}
        changes += [Renamed((key,), f"metadata.{key}") for key in about]
    if isinstance(data.get("model"), Mapping):
        modern["model"] = _model(data["model"], changes)
    if isinstance(data.get("template"), str | Mapping):
        template = _template(data["template"], changes)
        if template is not None:
            modern["template"] = template
    for name in ("inputs", "outputs"):
        if isinstance(data.get(name), Mapping):
            modern[name] = _properties(name, data[name], changes)
    if isinstance(data.get("sample"), Mapping):
        modern["inputs"] = _with_samples(modern.get("inputs"), data["sample"])
        changes.append(Renamed(("sample",), "the defaults of inputs"))
    return modern, tuple(changes)


def _model(model: Mapping[str, Any], changes: list[Renamed]) -> dict[str, Any]:
    modern = _renamed(model, _MODEL, ("model",), changes)
    was = {new: old for old, new in _MODEL.items() if old in model and new not in model}
    connection, options = modern.get("connection"), modern.get("options")
    if isinstance(connection, Mapping):
        at: KeyPath = ("model", was.get("connection", "connection"))
        connection = _renamed(connection, _CONNECTION, at, changes)
        kind = connection.get("type")
        if isinstance(kind, str) and "kind" not in connection:
            del connection["type"]
            modern.setdefault("provider", _PROVIDERS.get(kind, kind))
            connection["kind"] = "key"
            changes.append(Renamed((*at, "type"), "model.provider"))
        modern["connection"] = connection
    if isinstance(options, Mapping):
        options = _renamed(options, _OPTIONS, ("model", was.get("options", "options")), changes)
        if isinstance(options.get("stopSequences"), str):
            options["stopSequences"] = [options["stopSequences"]]
        modern["options"] = options
    return modern


def _template(template: Any, changes: list[Renamed]) -> dict[str, Any] | None:
    """``template: jinja2`` and ``{type: jinja2, parser: prompty}``; None: it is v2 already."""
    if isinstance(template, str):
        if template.startswith("${"):
            return None
        changes.append(Renamed(("template",), "template.format.kind"))
        return {"format": {"kind": template}, "parser": {"kind": "prompty"}}
    language = template.get("format", template.get("type", "jinja2"))
    parser = template.get("parser", "prompty")
    modern = {
        "format": {"kind": language} if isinstance(language, str) else language,
        "parser": {"kind": parser} if isinstance(parser, str) else parser,
    }
    if modern == dict(template):
        return None
    changes.append(Renamed(("template",), "template.format and template.parser"))
    return modern


def _properties(
    name: str, properties: Mapping[str, Any], changes: list[Renamed]
) -> Mapping[str, Any]:
    """v1's ``{type, sample, is_required}`` by name; other forms are v2's own."""
    if properties.get("type") == "object" and isinstance(properties.get("properties"), Mapping):
        return properties
    modern: dict[str, Any] = {}
    for key, entry in properties.items():
        modern[key] = entry
        if (
            isinstance(entry, Mapping)
            and "kind" not in entry
            and isinstance(entry.get("type"), str)
        ):
            words = {"type": "kind", "sample": "default", "is_required": "required"}
            modern[key] = _renamed(entry, words, (name, key), changes)
            modern[key]["kind"] = _TYPES.get(entry["type"], entry["type"])
    return modern


def _with_samples(inputs: Any, samples: Mapping[str, Any]) -> Any:
    if isinstance(inputs, list):
        return [
            {**entry, "default": samples[entry["name"]]}
            if isinstance(entry, Mapping)
            and isinstance(entry.get("name"), str)
            and entry["name"] in samples
            and "default" not in entry
            else entry
            for entry in inputs
        ]
    declared = dict(inputs) if isinstance(inputs, Mapping) else {}
    for name, sample in samples.items():
        entry = declared.get(name)
        if entry is None:
            declared[name] = {"kind": kind_of(sample), "default": sample}
        elif isinstance(entry, Mapping) and "default" not in entry:
            declared[name] = {**entry, "default": sample}
    return declared


def _renamed(
    mapping: Mapping[str, Any], words: Mapping[str, str], at: KeyPath, changes: list[Renamed]
) -> dict[str, Any]:
    """The mapping under its new keys, in its old order; a new key that is there already wins."""
    modern: dict[str, Any] = {}
    for key, value in mapping.items():
        new = words.get(key, key)
        if new != key and new in mapping:
            modern[key] = value
            continue
        if new != key:
            changes.append(Renamed((*at, key), new))
        modern[new] = value
    return modern
