"""The ``providers`` of a suite: models of ours by name, and ids of services to be mapped."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from localprompt.errors import DatasetError
from localprompt.sources.documents import read_document
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.suite.problems import Keys, Problems
from localprompt.sources.suite.records import SuiteProvider
from localprompt.sources.suite.scripts import transform_script
from localprompt.sources.suite.tool_choice import KEYS as CHOICE_KEYS
from localprompt.sources.suite.tool_choice import chosen_tools
from localprompt.sources.suite.tools import KEYS as TOOL_KEYS
from localprompt.sources.suite.tools import read_tools
from localprompt.sources.suite.values import file_path
from localprompt.sources.yaml import At

OURS = "localprompt:"
_FILE = re.compile(r"file://.+\.(?:ya?ml|json)")
_DEEPEST = 3
_NO_MODELS = frozenset({"echo", "http", "https", "webhook", "websocket", "openai", "anthropic"})
_REMOTE = "it belongs to a service; the model that answers runs here"
_KEYS = Keys(
    frozenset({"id", "label", "config", "prompts", "transform"}),
    ignored={
        "delay": "there is no rate limit to keep",
        "inputs": _REMOTE,
        "env": _REMOTE,
    },
)

OPTIONS = {
    "temperature": "temperature",
    "max_tokens": "maxOutputTokens",
    "maxTokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "max_output_tokens": "maxOutputTokens",
    "maxOutputTokens": "maxOutputTokens",
    "num_predict": "maxOutputTokens",
    "top_p": "topP",
    "topP": "topP",
    "top_k": "topK",
    "topK": "topK",
    "min_p": "minP",
    "seed": "seed",
    "stop": "stopSequences",
    "stopSequences": "stopSequences",
}


def read_providers(
    value: Any,
    at: At,
    folder: SuiteFolder,
    problems: Problems,
    notes: dict[str, None],
    depth: int = 0,
    *,
    allow_code: bool = False,
) -> tuple[SuiteProvider, ...]:
    """``providers``: a name, or a list of names, of mappings with ``id`` or as ``{id: …}``, and of
    files with such."""
    if value is None:
        return ()
    if depth and isinstance(value, dict) and isinstance(value.get("providers"), list):
        value, at = value["providers"], at / "providers"  # a file that says what its list is
    found: list[SuiteProvider] = []
    for index, item in enumerate(value if isinstance(value, list) else [value]):
        here = at / index if isinstance(value, list) else at
        if isinstance(item, str) and _FILE.fullmatch(item) and depth < _DEEPEST:
            try:
                path = file_path(item, folder, here)
                document = read_document(path, allow=folder.allow)
            except DatasetError as error:
                problems.add_error(error, here)
                continue
            data, there = document.data, document.at
            found += read_providers(
                data,
                there,
                folder.beside(path),
                problems,
                notes,
                depth + 1,
                allow_code=allow_code,
            )
            continue
        if isinstance(item, str):
            found.append(_provider(item, {}, here, notes))
            continue
        if isinstance(item, dict) and "id" not in item and len(item) == 1:
            ((name, settings),) = item.items()
            if isinstance(settings, dict):
                item = {"id": name, **settings}  # noqa: PLW2901
        if not isinstance(item, dict) or not isinstance(item.get("id"), str):
            problems.add(here, "not a provider", "a model's name, or a mapping with id", repr(item))
            continue
        notes.update(dict.fromkeys(_KEYS.check(item, here, problems)))
        provider = _provider(item["id"], item, here, notes)
        provider = _with_tools(provider, item.get("config"), folder, here, problems, notes)
        if item.get("transform") is not None:
            try:
                transform = transform_script(
                    item["transform"], folder, here / "transform", allow_code=allow_code
                )
                provider = msgspec.structs.replace(provider, transform=transform)
            except DatasetError as error:
                problems.add_error(error, here)
        found.append(provider)
    return tuple(found)


def _provider(name: str, item: dict[str, Any], at: At, notes: dict[str, None]) -> SuiteProvider:
    own = name.removeprefix(OURS)
    foreign = own == name and (":" in name or name in _NO_MODELS)
    prompts = item.get("prompts")
    return SuiteProvider(
        id=own,
        label=str(item.get("label") or own),
        foreign=foreign,
        options=options_from(item.get("config"), at / "config", notes),
        output_schema=schema_from(item.get("config")),
        as_json=is_json_schema(item.get("config")),
        prompts=tuple(map(str, prompts)) if isinstance(prompts, list) else None,
        where=str(at),
    )


def _with_tools(
    provider: SuiteProvider,
    config: Any,
    folder: SuiteFolder,
    at: At,
    problems: Problems,
    notes: dict[str, None],
) -> SuiteProvider:
    """The provider with what it may call, held to a call where it has to make one."""
    here = at / "config"
    tools = read_tools(config, folder, here, problems, notes)
    tools, schema = chosen_tools(config, tools, here, problems, notes)
    if schema is not None:
        provider = msgspec.structs.replace(provider, output_schema=schema, as_json=False)
    return msgspec.structs.replace(provider, tools=tools)


def options_from(config: Any, at: At, notes: dict[str, None]) -> dict[str, Any]:
    """A provider's or a prompt's ``config`` as ``model.options``; the rest of it is noted."""
    options: dict[str, Any] = {}
    for key, value in config.items() if isinstance(config, dict) else ():
        if key in TOOL_KEYS + CHOICE_KEYS:
            continue
        if key == "response_format" and schema_from(config) is not None:
            continue
        if key not in OPTIONS:
            notes[f"{at / key}: {key!r} is ignored: {_REMOTE}"] = None
        elif value is not None:
            is_stop = OPTIONS[key] == "stopSequences"
            options[OPTIONS[key]] = [value] if is_stop and isinstance(value, str) else value
    return options


def is_json_schema(config: Any) -> bool:
    """Whether answers are values: services parse those that follow a ``json_schema``."""
    wanted = config.get("response_format") if isinstance(config, dict) else None
    return isinstance(wanted, dict) and wanted.get("type") == "json_schema"


def schema_from(config: Any) -> dict[str, Any] | None:
    """The schema that ``response_format`` holds answers to, as services take it."""
    wanted = config.get("response_format") if isinstance(config, dict) else None
    if not isinstance(wanted, dict):
        return None
    if wanted.get("type") == "json_object":
        return {"type": "object"}
    inner = wanted.get("json_schema") if wanted.get("type") == "json_schema" else None
    schema = inner.get("schema") if isinstance(inner, dict) else wanted.get("schema")
    return schema if isinstance(schema, dict) else None
