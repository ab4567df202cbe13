"""Files of data: YAML or JSON with the line of every key, references resolved; and texts.

``{$ref: '#/assertionTemplates/short'}`` and ``{$ref: 'other.yaml#/key'}`` are replaced by what
they point to, as promptfoo does; anchors and merge keys are YAML's own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localprompt import doors
from localprompt.errors import DatasetError
from localprompt.sources.yaml import (
    DEEPEST,
    INTEGERS,
    MOST_NODES,
    At,
    Document,
    KeyPath,
    read_yaml,
    scalar,
)

MOST_FILES = 100
"""Files that the references of one document may lead to."""

Allow = Callable[[Path, str], Path]
"""A path that a document names, and the place that names it → the path; raises if not."""


def read_document(path: Path, *, allow: Allow = lambda path, _: path) -> Document:
    """The content of a YAML or JSON file, references resolved.

    Integers that would not print as they are written (``010``) are text: in a suite they are part
    numbers and times more often than counts.

    Args:
        allow: asked about every file that a reference leads to.

    Raises:
        DatasetError: it cannot be read, is not UTF-8, not YAML, has a key twice, or a reference
            leads nowhere, to itself or where it must not.
    """
    shown = str(path)
    text = read_text(path)
    if path.suffix == ".json":
        document = Document(load_json(text, shown), At(shown))
    else:
        document = read_yaml(text, shown, words=_integers)
    if "$ref" not in text:
        return document
    resolved = _References(path.parent, document, allow).resolve(document.data, document.at)
    return Document(resolved, document.at)


def read_text(path: Path, shown: str | None = None) -> str:
    """A text file in UTF-8, with or without a byte order mark.

    Raises:
        DatasetError: it is not there, not a file, too large or not UTF-8.
    """
    return doors.read_text(path, raises=DatasetError, where=shown)


def load_json(text: str, shown: str) -> Any:
    """A JSON document under the same limits as YAML.

    Raises:
        DatasetError: it is not JSON, has a key twice, or is nested too deep.
    """
    try:
        data = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_int=scalar,
            parse_constant=_no_constant,
        )
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"not JSON: {error.msg}", where=f"{shown}:{error.lineno}", expected="one JSON document"
        ) from error
    except RecursionError:
        raise DatasetError("nested too deep", where=shown) from None
    except ValueError as error:
        raise DatasetError(f"not JSON: {error}", where=shown) from error
    check_depth(data, shown)
    return data


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON (null stands for no value)")


def check_depth(data: Any, shown: str) -> None:
    """
    Raises:
        DatasetError: lists and mappings stand deeper inside each other than ``DEEPEST``.
    """
    level, depth = [data], 0
    while level:
        depth += 1
        if depth > DEEPEST + 1:
            raise DatasetError("nested too deep", where=shown, expected=f"at most {DEEPEST} levels")
        inner = [item for item in level if isinstance(item, list | dict)]
        level = [
            child
            for item in inner
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, list | dict)
        ]


def _integers(path: KeyPath) -> frozenset[str]:
    return INTEGERS


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, times in counts.items() if times > 1)
        raise ValueError(f"the key {twice!r} appears twice in one object")
    return found


_TOOLS = frozenset({"tools", "functions"})
SCHEMA_KEYS = frozenset({"parameters", "input_schema", "inputSchema", "parametersJsonSchema"})
"""Where the definition of a tool has the JSON Schema of its arguments."""


class _References:
    """Replaces ``$ref`` in one document; other files are read once."""

    def __init__(self, folder: Path, document: Document, allow: Allow) -> None:
        self.folder = folder
        self.allow = allow
        self.document = document
        self.files: dict[Path, Any] = {}
        self._nodes = 0

    def resolve(self, value: Any, at: At, trail: tuple[str, ...] = ()) -> Any:
        self._nodes += 1
        if self._nodes > MOST_NODES or len(trail) > DEEPEST:
            raise DatasetError("the $refs in this file expand to too much", where=str(at))
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str) and not _is_schema(at.path):
                return self._target(reference, at, trail)
            return {key: self.resolve(item, at / key, trail) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, at / index, trail) for index, item in enumerate(value)]
        return value

    def _target(self, reference: str, at: At, trail: tuple[str, ...]) -> Any:
        if reference in trail:
            raise DatasetError("a $ref leads back to itself", where=str(at), found=reference)
        file, _, pointer = reference.removeprefix("file://").partition("#")
        value = self.document.data
        if file:
            path = self.allow(self.folder / file, str(at))
            if path not in self.files:
                if len(self.files) >= MOST_FILES:
                    raise DatasetError("the $refs lead to too many files", where=str(at))
                self.files[path] = read_document(path, allow=self.allow).data
            value = self.files[path]
        for part in pointer.strip("/").split("/") if pointer.strip("/") else ():
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                raise DatasetError(f"a $ref leads nowhere: there is no {key!r}", where=str(at))
        return self.resolve(value, at, (*trail, reference)) if not file else value


def _is_schema(path: KeyPath) -> bool:
    """Inside an assertion's ``value``, a tool's parameters and a ``response_format`` a ``$ref``
    belongs to a JSON Schema."""
    if "value" in path and "assert" in path[: path.index("value")]:
        return True
    is_tool = bool(path) and (isinstance(path[0], int) or not _TOOLS.isdisjoint(path))
    return "response_format" in path or (is_tool and not SCHEMA_KEYS.isdisjoint(path))
