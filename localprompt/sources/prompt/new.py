"""A new prompt file in ``./prompts``, from scratch or as a copy, which runs as it is.

A copy gets its own name, and its own copy of the cases: names are changed line by line, so that
comments and the body stay as they are. What was written is read back before it is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from localprompt import doors
from localprompt.errors import InputError, MachineError, PromptFileError
from localprompt.files import replace_file
from localprompt.sources.prompt.document import RawDocument, read_raw
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.prompt.search import FOLDER, SUFFIX, find_prompt
from localprompt.sources.yaml import KeyPath, scalar

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SCALAR = r""""[^"\n]*"|'[^'\n]*'|[^\s#,}][^#,}\n]*?(?=\s*(?:[#,}]|$))"""
"""A value of YAML on one line: quoted, or plain up to a comment or the end of a flow mapping."""

_STARTER = """\
---
name: {name}
description: Answers a question in one or two sentences.
model:
  options:
    temperature: 0
    maxOutputTokens: 80
inputs:
  - name: question
    kind: string
    description: what you want to know
    required: true
template:
  format:
    kind: jinja2
  parser:
    kind: prompty
---
system:
You are a helpful assistant. Answer in one or two short sentences.

user:
{{{{ question }}}}
"""


class NewPrompt(msgspec.Struct, frozen=True):
    """What was written."""

    path: Path
    cases: Path | None = None
    """The copy of the original's cases."""


def new_prompt(name: str, *, origin: str | None = None, force: bool = False) -> NewPrompt:
    """Write ``./prompts/NAME.prompty``.

    Args:
        name: of the prompt, without ``.prompty``.
        origin: name or path of a prompt to copy; None for a small one to begin with.
        force: replace files that are there.

    Raises:
        InputError: the name is no file's name, or a file of that name is there.
        UnknownNameError, PromptFileError: the original is not there, or cannot be read.
        MachineError: the file cannot be written.
    """
    name = name.removesuffix(SUFFIX)
    if not _NAME.fullmatch(name):
        raise InputError(
            "not a valid name for a prompt",
            expected="letters, digits, '-', '_' and '.'",
            found=repr(name),
            next_step="localprompt prompts new my-prompt",
        )
    path = FOLDER / f"{name}{SUFFIX}"
    texts, cases = {path: _STARTER.format(name=_quoted(name)).encode()}, None
    if origin is not None:
        raw = read_raw(find_prompt(origin))
        original = load_prompt(raw.path).cases
        if original is not None:
            cases = FOLDER / f"{name}{Path(original).suffix}"
            texts[cases] = doors.read_bytes(original)
        texts[path] = _renamed(raw, name, cases.name if cases else None)
    _write(path, texts, force=force)
    return NewPrompt(path, cases)


def _renamed(raw: RawDocument, name: str, cases: str | None) -> bytes:
    """The original's bytes with its name, and the file of its cases, replaced on their lines."""
    lines = raw.bytes.decode("utf-8-sig").splitlines(keepends=True)
    _replace(lines, raw, ("name",), _quoted(name))
    if cases is not None:
        _replace(lines, raw, ("metadata", "localprompt", "cases"), cases)
    return "".join(lines).encode()


def _quoted(name: str) -> str:
    """A name as YAML: in quotes where it would be a number or ``true``, as ``2024`` is."""
    return name if scalar(name) == name else f'"{name}"'


def _replace(lines: list[str], raw: RawDocument, path: KeyPath, value: str) -> None:
    line = raw.lines.lines.get(path)
    if line is not None:
        key = re.escape(str(path[-1]))
        lines[line - 1] = re.sub(
            rf"(\b{key}\s*:\s*)(?:{_SCALAR})", rf"\g<1>{value}", lines[line - 1], count=1
        )


def _write(prompt: Path, texts: Mapping[Path, bytes], *, force: bool) -> None:
    """Write all of the files, or none of them."""
    there = [path for path in texts if doors.exists(path)]
    if there and not force:
        raise InputError(
            "the file exists already",
            where=str(there[0]),
            next_step="choose another name, or --force to replace it",
        )
    before: dict[Path, bytes | None] = {}
    try:
        prompt.parent.mkdir(exist_ok=True)
        for path, data in texts.items():
            before[path] = path.read_bytes() if path in there else None
            replace_file(path, data)
        _check(prompt)
    except OSError as error:
        _restore(before)
        raise MachineError(
            f"cannot write the prompt: {error.strerror}", where=str(error.filename or prompt)
        ) from error
    except PromptFileError:
        _restore(before)
        raise


def _check(prompt: Path) -> None:
    name, found = prompt.name.removesuffix(SUFFIX), None
    try:
        found = load_prompt(prompt).name
    except PromptFileError as error:
        problem = str(error)
    else:
        problem = f"its name is still {found!r}"
    if found != name:
        raise PromptFileError(
            "a copy of this prompt does not work on its own",
            expected="a prompt that needs no other file than its cases",
            found=problem,
        )


def _restore(before: Mapping[Path, bytes | None]) -> None:
    for path, data in before.items():
        if data is None:
            path.unlink(missing_ok=True)
        else:
            replace_file(path, data)
