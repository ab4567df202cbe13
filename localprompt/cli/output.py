"""Where output goes: answers and tables to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from localprompt.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """A rich console; rich itself honours NO_COLOR and drops styles when not on a terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def checked(option: str, value: str, allowed: Sequence[str]) -> str:
    """The value, or an InputError that lists what would have been right."""
    if value in allowed:
        return value
    raise InputError("unknown value", where=option, expected=", ".join(allowed), found=value)


def stdin_text() -> str | None:
    """What is piped in; None where stdin is a terminal or closed.

    Raises:
        InputError: it is not UTF-8 text.
    """
    if sys.stdin is None or sys.stdin.isatty():
        return None
    data = sys.stdin.buffer.read()
    if not data:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "stdin is not text", where=f"byte {error.start}", expected="UTF-8"
        ) from error
