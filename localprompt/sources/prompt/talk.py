"""A conversation → a ``.prompty`` file that asks its last question again, or another in its place.

The turns stand in the body as they were said. Text that a template would read as its own (braces
of Jinja2, what looks like a role line) goes into the front matter as the default of an input, and
the body names it there. Empty lines around a turn are lost, as around those of every prompt file.
What was written is read back and has to give the same messages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from localprompt import doors
from localprompt.errors import InputError, MachineError
from localprompt.files import written_whole
from localprompt.records.prompt import Message
from localprompt.rendering.prompt import render_messages
from localprompt.rendering.segments import ROLE_LIKE
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.prompt.search import SUFFIX

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_JINJA = ("{{", "{%", "{#")
ASKED = "text"
"""The input that holds the last question."""


def save_conversation(path: Path, messages: Sequence[Message], model: str) -> Path:
    """Write a conversation that ends with a question.

    Args:
        path: ``.prompty`` is added where it is missing.
        messages: the last one is the user's.

    Returns:
        where it was written.

    Raises:
        InputError: the file is there, or the name is not one of a prompt.
        MachineError: it cannot be written.
    """
    path = path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
    name = path.name.removesuffix(SUFFIX)
    if not _NAME.fullmatch(name):
        raise InputError(
            "not a valid name for a prompt",
            expected="letters, digits, '-', '_' and '.'",
            found=repr(name),
        )
    if doors.exists(path):
        raise InputError("the file exists already", where=str(path), next_step="another name")
    for keep_all in (False, True):
        try:
            text = _text(name, messages, model, keep_all=keep_all)
            with written_whole(path) as file:
                file.write(text)
        except OSError as error:
            raise MachineError(
                f"cannot write the prompt: {error.strerror}", where=str(path)
            ) from error
        if _says(path) == _said(messages):
            return path
    path.unlink()
    raise InputError(
        "this conversation cannot be written as a prompt",
        where=str(path),
        expected="turns of text",
    )


def _text(name: str, messages: Sequence[Message], model: str, *, keep_all: bool) -> str:
    inputs: list[dict[str, Any]] = []
    turns = []
    for number, message in enumerate(messages, start=1):
        text, last = message.text, number == len(messages)
        if last or keep_all or _would_be_read(text):
            called = ASKED if last else f"{message.role}_{number}"
            inputs.append({"name": called, "kind": "string", "default": text})
            text = f"{{{{ {called} }}}}"
        turns.append(f"{message.role}:\n{text}\n")
    front = {
        "name": name,
        "description": "A conversation; -p text=… asks another question at its end.",
        "model": {"id": model},
        "inputs": inputs,
        "template": {"format": {"kind": "jinja2"}, "parser": {"kind": "prompty"}},
    }
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=96)
    return f"---\n{head}---\n" + "\n".join(turns)


def _would_be_read(text: str) -> bool:
    odd = any(mark in text for mark in _JINJA) or ROLE_LIKE.search(text) is not None
    return odd or text != text.strip()


def _says(path: Path) -> list[tuple[str, str]] | None:
    """What the file says; None where it cannot be read at all."""
    try:
        messages = render_messages(load_prompt(path), {})
    except InputError:
        return None
    return _said(messages)


def _said(messages: Sequence[Message]) -> list[tuple[str, str]]:
    return [(message.role, message.text.strip("\n")) for message in messages]
