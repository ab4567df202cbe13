"""A prompt file's two halves: YAML front matter between ``---`` lines, and the body.

The front matter is read with the line of every key, so that a message can point at it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from localprompt import doors
from localprompt.errors import PromptFileError
from localprompt.sources.yaml import NUMBERS, KeyPath, read_yaml

MOST_BYTES = 1 << 20
"""The largest prompt file that is read: 1 MiB, about a quarter of a million tokens."""

_MOST_NODES = 100_000
"""The most values of a front matter, aliases counted as what they stand for."""

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
        data = doors.read_bytes(path, MOST_BYTES)
    except OSError as error:
        raise doors.refusal(
            error,
            where,
            PromptFileError,
            what="prompt file",
            next_step="localprompt prompts list",
        ) from error
    return doors.decode(data, where, PromptFileError).replace("\r", "\n"), data


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
    """The data in a front matter, and the lines of its keys in the file.

    Inputs, choices and the like are words: ``010`` and ``1.10`` stay as they are written.

    Raises:
        PromptFileError: with the file and line.
    """
    document = read_yaml(
        text,
        file,
        first_line=first_line,
        words=words_at,
        most_nodes=_MOST_NODES,
        error=PromptFileError,
    )
    return document.data, KeyLines(file, document.at.lines)


def words_at(path: KeyPath) -> frozenset[str]:
    """Where a model sees what stands there, as opposed to options with a number."""
    if path[:1] in (("inputs",), ("sample",), ("metadata",)):
        return NUMBERS
    return NUMBERS if path[:1] == ("outputs",) and "enumValues" in path else frozenset()


def _body(text: str, start: int) -> tuple[str, int]:
    """The body without leading white space, and its line."""
    body = text[start:].lstrip()
    return body, text.count("\n", 0, len(text) - len(body)) + 1
