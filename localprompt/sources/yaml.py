"""YAML and JSON files of a suite, with the line of every key.

promptfoo reads YAML 1.2, where ``yes``, ``no``, ``on`` and ``off`` are words, ``010`` is ten and
``2024-01-01`` is text; PyYAML reads YAML 1.1, where they are booleans, eight and a date. An
assertion like ``value: Yes`` means something else in each, so the 1.2 rules are used here.

``{$ref: '#/assertionTemplates/short'}`` and ``{$ref: 'other.yaml#/key'}`` are replaced by what
they point to, as promptfoo does; anchors and merge keys are YAML's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from localprompt.errors import DatasetError

KeyPath = tuple[str | int, ...]

MOST_NODES = 1_000_000
"""Aliases can make a small file stand for a large one; this is where reading it stops."""
DEEPEST = 100

_FLOAT = (
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


class At(msgspec.Struct, frozen=True):
    """A place in a file: prints as ``suite.yaml:12 (tests[0].assert)``."""

    file: str
    path: KeyPath = ()
    lines: dict[KeyPath, int] = {}
    first_line: int | None = None
    """The line of a row, where the file is not YAML."""

    def __truediv__(self, key: str | int) -> At:
        return At(self.file, (*self.path, key), self.lines, self.first_line)

    @property
    def key(self) -> str:
        """``tests[0].assert[1].type``; empty at the top."""
        text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path)
        return text.removeprefix(".")

    @property
    def line(self) -> int | None:
        for length in range(len(self.path), -1, -1):
            if self.path[:length] in self.lines:
                return self.lines[self.path[:length]]
        return self.first_line

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place} ({self.key})" if self.path else place


class Document(msgspec.Struct, frozen=True):
    """A file's content and where it stands."""

    data: Any
    at: At


def read_document(path: Path, shown: str | None = None) -> Document:
    """The content of a YAML or JSON file, references resolved.

    Args:
        shown: the file's name in messages.

    Raises:
        DatasetError: it cannot be read, is not UTF-8, not YAML, has a key twice, or a reference
            leads nowhere or to itself.
    """
    shown = shown or str(path)
    text = read_text(path, shown)
    if path.suffix == ".json":
        document = Document(_load_json(text, shown), At(shown))
    else:
        document = _load_yaml(text, shown)
    resolved = _References(path.parent, document).resolve(document.data, document.at)
    return Document(resolved, document.at)


def read_text(path: Path, shown: str | None = None) -> str:
    """A text file in UTF-8, with or without a byte order mark.

    Raises:
        DatasetError: it is not there, cannot be read or is not UTF-8.
    """
    shown = shown or str(path)
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DatasetError(
            "the file is not UTF-8 text",
            where=shown,
            expected="UTF-8",
            found=f"byte {error.object[error.start]:#04x} at offset {error.start}",
            next_step=f"iconv -t UTF-8 {shown}",
        ) from error
    except OSError as error:
        raise DatasetError(f"cannot read the file: {error.strerror}", where=shown) from error


def _load_json(text: str, shown: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"not JSON: {error.msg}", where=f"{shown}:{error.lineno}", expected="one JSON document"
        ) from error
    except RecursionError:
        raise DatasetError("nested too deep", where=shown) from None


def _load_yaml(text: str, shown: str) -> Document:
    import yaml

    lines: dict[KeyPath, int] = {}
    try:
        root = yaml.compose(text, Loader=_loader())
        if root is None:
            return Document(None, At(shown, lines=lines))
        lines.update(_walk(root, shown))
        data = yaml.load(text, Loader=_loader())  # noqa: S506 — a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = shown if mark is None else f"{shown}:{mark.line + 1}"
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise DatasetError(f"not YAML: {problem}", where=where) from error
    except RecursionError:
        raise DatasetError("nested too deep", where=shown) from None
    return Document(data, At(shown, lines=lines))


def _loader() -> Any:
    """A SafeLoader with the scalars of YAML 1.2's core schema."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    rules = (
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("null", r"~|null|Null|NULL|", "~nN\0"),
        ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
        (
            "float",
            _FLOAT,
            "-+.0123456789",
        ),
        ("merge", r"<<", "<"),
    )
    for name, pattern, first in rules:
        Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{name}",
            re.compile(rf"^(?:{pattern})$"),
            [("" if character == "\0" else character) for character in first],
        )
    Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
    return Loader


def _construct_int(loader: Any, node: Any) -> int:
    text: str = loader.construct_scalar(node)
    return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)


def _walk(root: Any, shown: str) -> Iterator[tuple[KeyPath, int]]:
    """Every key and item with its line; refuses a key that stands twice in one mapping."""
    import yaml

    waiting: list[tuple[KeyPath, Any]] = [((), root)]
    count = 0
    while waiting:
        path, node = waiting.pop()
        count += 1
        if count > MOST_NODES or len(path) > DEEPEST:
            raise DatasetError("the aliases in this file stand for too much", where=shown)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                yield (*path, index), item.start_mark.line + 1
                waiting.append(((*path, index), item))
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                name = str(key.value)
                if name in seen and name != "<<":
                    raise DatasetError(
                        f"the key {name!r} stands here twice",
                        where=f"{shown}:{key.start_mark.line + 1}",
                    )
                seen.add(name)
                yield (*path, name), key.start_mark.line + 1
                waiting.append(((*path, name), value))


class _References:
    """Replaces ``$ref`` in one document; other files are read once."""

    def __init__(self, folder: Path, document: Document) -> None:
        self.folder = folder
        self.document = document
        self.files: dict[Path, Any] = {}

    def resolve(self, value: Any, at: At, trail: tuple[str, ...] = ()) -> Any:
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
            path = (self.folder / file).resolve()
            if path not in self.files:
                self.files[path] = read_document(path).data
            value = self.files[path]
        for part in pointer.strip("/").split("/") if pointer.strip("/") else ():
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                raise DatasetError(f"a $ref leads nowhere: there is no {key!r}", where=str(at))
        return self.resolve(value, at, (*trail, reference)) if not file else value


def _is_schema(path: KeyPath) -> bool:
    """Inside an assertion's ``value`` a ``$ref`` belongs to a JSON Schema."""
    return "value" in path and "assert" in path[: path.index("value")]
