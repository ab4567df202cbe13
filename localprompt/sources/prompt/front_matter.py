"""A prompt file's two halves: YAML front matter between ``---`` lines, and the body.

The front matter is read with the line of every key, so that a message can point at it. Three of
YAML 1.1's habits are switched off, because in prompts they surprise: ``yes``, ``no``, ``on`` and
``off`` stay words (``choices: [yes, no]``), dates stay text, and a key that stands twice is an
error instead of the last one winning.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from localprompt.errors import PromptFileError

KeyPath = tuple[str | int, ...]

MOST_BYTES = 1 << 20
"""The largest prompt file that is read: 1 MiB, about a quarter of a million tokens."""

_MOST_NODES = 100_000
"""YAML aliases can make a small file stand for an endless one; this is where reading stops."""

_FENCE = re.compile(r"(?:---|\+\+\+)[ \t]*")
_ON_ONE_LINE = re.compile(r"\s*(?:---|\+\+\+)(.*?)(?:---|\+\+\+)\s*(.+)\Z", re.DOTALL)


class FrontMatter(msgspec.Struct, frozen=True):
    """The file, cut in two; nothing in it is resolved or checked yet."""

    yaml: str | None
    """The text between the fences; None where there are none."""
    yaml_line: int
    """The line of the file on which ``yaml`` begins."""
    body: str
    body_line: int


class KeyLines(msgspec.Struct, frozen=True):
    """The lines of a front matter's keys."""

    file: str
    lines: dict[KeyPath, int] = {}

    def where(self, path: KeyPath) -> str:
        """``notes.prompty:4 (model.options.topK)``; the nearest line that is known."""
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
        for length in range(len(path), -1, -1):
            line = self.lines.get(path[:length])
            if line is not None:
                return f"{self.file}:{line} ({key.removeprefix('.')})"
        return f"{self.file} ({key.removeprefix('.')})" if key else self.file


def read_prompt_text(path: Path) -> tuple[str, bytes]:
    """A prompt file's text, with line ends as ``\\n`` and no byte order mark, and its bytes.

    Raises:
        PromptFileError: it is not there, a folder, too large, or not UTF-8.
    """
    where = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise PromptFileError(
            "there is no such prompt file", where=where, next_step="localprompt prompts list"
        ) from None
    except IsADirectoryError:
        raise PromptFileError("this is a folder", where=where, expected="a .prompty file") from None
    except OSError as error:
        raise PromptFileError(f"cannot read the file: {error.strerror}", where=where) from error
    if len(data) > MOST_BYTES:
        raise PromptFileError(
            "the file is too large for a prompt", where=where, expected=f"{MOST_BYTES:,} bytes"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PromptFileError(
            "the file is not UTF-8 text",
            where=f"{where}:{line}",
            expected="UTF-8",
            found=f"byte {data[error.start]:#04x} at offset {error.start}",
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n"), data


def split_front_matter(text: str, file: str) -> FrontMatter:
    """Cut at the fences; a text without an opening fence is all body.

    White space before the body is not a part of it. A front matter that opens and closes on one
    line is understood too, as Prompty's own rule has it.

    Raises:
        PromptFileError: there is an opening fence and no closing one.
    """
    start = len(text) - len(text.lstrip())
    if not text.startswith(("---", "+++"), start):
        return FrontMatter(None, 1, text, 1)
    first_line = text.count("\n", 0, start)
    lines = text[start:].split("\n")
    if _FENCE.fullmatch(lines[0]):
        for number, line in enumerate(lines[1:], start=1):
            if _FENCE.fullmatch(line):
                above = len("\n".join(lines[: number + 1]))
                return FrontMatter(
                    "\n".join(lines[1:number]), first_line + 2, *_body(text, start + above)
                )
    on_one_line = _ON_ONE_LINE.match(text)
    if on_one_line is None:
        raise PromptFileError(
            "the front matter is not closed",
            where=f"{file}:{first_line + 1}",
            expected="a second line of '---' before the body",
        )
    return FrontMatter(on_one_line.group(1), first_line + 1, *_body(text, on_one_line.start(2)))


def parse_yaml(text: str, file: str, first_line: int = 1) -> tuple[Any, KeyLines]:
    """The data in a YAML text, and the lines of its keys in the file.

    Raises:
        PromptFileError: with the file and line.
    """
    import yaml

    try:
        loader = _loader_class()(text)
        node = loader.get_single_node()
        if node is None:
            return None, KeyLines(file)
        lines = KeyLines(file, dict(_lines(node, file, first_line)))
        return loader.construct_document(node), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = first_line if mark is None else mark.line + first_line
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise PromptFileError(f"not valid YAML: {problem}", where=f"{file}:{line}") from error
    except (RecursionError, ValueError) as error:
        raise PromptFileError(
            f"not valid YAML: {str(error) or 'nested too deep'}", where=f"{file}:{first_line}"
        ) from None


def _body(text: str, start: int) -> tuple[str, int]:
    """The body without leading white space, and its line."""
    body = text[start:].lstrip()
    return body, text.count("\n", 0, len(text) - len(body)) + 1


@functools.cache
def _loader_class() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {  # noqa: RUF012 - declared so by the base class
            first: [rule for rule in rules if not rule[0].endswith((":timestamp", ":bool"))]
            for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:bool",
        re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
        list("tTfF"),
    )
    return Loader


def _lines(root: Any, file: str, first_line: int) -> Iterator[tuple[KeyPath, int]]:
    import yaml

    waiting: list[tuple[KeyPath, Any]] = [((), root)]
    count = 0
    while waiting:
        path, node = waiting.pop()
        count += 1
        if count > _MOST_NODES:
            raise PromptFileError("the YAML aliases stand for too much", where=file)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                yield (*path, index), item.start_mark.line + first_line
                waiting.append(((*path, index), item))
        elif isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                line = key.start_mark.line + first_line
                name = str(key.value)
                if name in seen and name != "<<":
                    raise PromptFileError(
                        f"the key {name!r} stands here twice", where=f"{file}:{line}"
                    )
                seen.add(name)
                yield (*path, name), line
                waiting.append(((*path, name), value))
