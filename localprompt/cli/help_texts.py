"""``--help`` in the language of the user: every text of the command tree, and the words around it.

Only imported where another language than English is spoken, and by ``docs/catalogue.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from localprompt.cli.help import COMMON, PANELS
from localprompt.views.translation import translated

# What stands around the texts of commands, and what the library for command lines says by itself.
FRAME = (
    "Usage: ",
    "Arguments",
    "Options",
    "Commands",
    "Examples",
    COMMON,
    *PANELS,
    "Show this message and exit.",
    "Install completion for the current shell.",
    "Show completion for the current shell, to copy it or customize the installation.",
    "default: {0}",
    "required",
    "env var: {0}",
    # What it finds wrong, without the full stop, which an error here does not have.
    "Missing command",
    "No such command {0}",
    "No such command {0}. Did you mean {1}?",
    "No such option: {0}",
    "No such option: {0} Did you mean {1}?",
    "No such option: {0} (Possible options: {1})",
    "Missing argument {0}",
    "Missing option {0}",
    "Invalid value for {0}: {1}",
    "Option {0} requires an argument",
    "Option {0} does not take a value",
    "Got unexpected extra argument {0}",
    "Got unexpected extra arguments {0}",
    "{0} is not a valid integer",
    "{0} is not a valid integer range",
    "{0} is not a valid float range",
    "{0} is not in the range {1}",
    "{0} is not one of {1}",
)
_EXTRA = re.compile(r"  \[([^\[\]]*)\]")
_RANGE = re.compile(r"^([\d.]+) to ([\d.]+)$")
_VERBATIM = "\b"
"""Begins a paragraph that the library prints as it stands."""


def help_texts(command: Any) -> Iterator[str]:
    """Every text of a command and of those below it."""
    yield from FRAME
    yield from _texts(command)


def _texts(command: Any) -> Iterator[str]:
    yield from (key for key in map(_key, _paragraphs(command.help)) if key)
    for parameter in command.params:
        yield from (key for key in [_key(getattr(parameter, "help", None) or "")] if key)
    for child in getattr(command, "commands", {}).values():
        yield from _texts(child)


def _paragraphs(text: str | None) -> list[str]:
    return (text or "").split("\n\n")


def _key(paragraph: str) -> str:
    return "" if paragraph.startswith(_VERBATIM) else " ".join(paragraph.split())


def translate_help(command: Any) -> None:
    """Put the user's language into a command, those below it, and the library's own words."""
    command.help = _said(command.help)
    for parameter in command.params:
        if text := getattr(parameter, "help", None):
            parameter.help = translated(_key(text))
    for child in getattr(command, "commands", {}).values():
        translate_help(child)
    context = command.context_class
    if not issubclass(context.formatter_class, _Formatter):
        context.formatter_class = type("Formatter", (_Formatter, context.formatter_class), {})


def _said(text: str | None) -> str | None:
    if text is None:
        return None
    return "\n\n".join(translated(_key(part)) or part for part in _paragraphs(text))


class _Formatter:
    """What every help text is written with; the library's own formatter stands behind it."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, prefix or translated("Usage: "))  # type: ignore[misc]

    def write_heading(self, heading: str) -> None:
        super().write_heading(translated(heading))  # type: ignore[misc]

    def write_dl(self, rows: Any, *args: Any, **options: Any) -> None:
        super().write_dl([(name, _described(text)) for name, text in rows], *args, **options)  # type: ignore[misc]


def _described(text: str) -> str:
    """A help text and what stands in brackets behind it: ``[default: raw; required]  [1 to 9]``."""
    help_text, *extras = _EXTRA.split(text)
    said = translated(help_text)
    for extra in filter(None, extras):
        words = (_RANGE.sub(rf"\1 {translated('to')} \2", word) for word in extra.split("; "))
        said += f"  [{'; '.join(map(translated, words))}]"
    return said
