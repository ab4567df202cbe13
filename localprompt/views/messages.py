"""Errors and warnings on stderr, as a person reads them.

Plain text and no imports to speak of: an error must be printable when everything else is broken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from localprompt.errors import LocalPromptError

if TYPE_CHECKING:
    from localprompt.records import RunWarning


def format_error(error: LocalPromptError) -> str:
    """What was wrong, where, what was expected and found, and what to do next."""
    lines = [f"error: {error.message}"]
    details = (
        ("where", error.where),
        ("expected", error.expected),
        ("found", error.found),
        ("try", error.next_step),
    )
    lines.extend(f"  {name + ':':<10}{value}" for name, value in details if value)
    return "\n".join(lines)


def print_error(error: LocalPromptError) -> None:
    _to_stderr(format_error(error))


def print_usage_error(error: Any) -> int:
    """A mistake in the arguments, as the command-line library found it; returns the exit code."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "localprompt"
    message = error.format_message()
    if message.lstrip().startswith("Usage:"):  # no arguments at all: the message is the help
        _to_stderr(message)
    else:
        _to_stderr(f"error: {message.rstrip('.')}\n  try:      {path} --help")
    return 2


def print_warnings(warnings: Iterable[RunWarning]) -> None:
    for warning in warnings:
        _to_stderr(f"warning: {warning.message}")
        if warning.advice:
            _to_stderr(f"  try:      {warning.advice}")


def print_note(text: str) -> None:
    _to_stderr(text)


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
