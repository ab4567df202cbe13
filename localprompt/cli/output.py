"""Where output goes: answers and tables to stdout, everything else to stderr."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from localprompt.doors import MOST_TEXT_BYTES
from localprompt.errors import InputError, MachineError, NotEnoughDiskError
from localprompt.files import written_whole
from localprompt.views.stream import data_out

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """A rich console. It drops styles when not on a terminal; with NO_COLOR all of them, where
    rich would keep bold and dim."""
    from localprompt.sources.config import is_set, read_config
    from localprompt.views.terminal import Terminal

    plain = os.environ.get("NO_COLOR") or (is_set() and not read_config().colours)
    styles: Literal["auto"] | None = None if plain else "auto"
    return Terminal(stderr=stderr, highlight=False, soft_wrap=False, color_system=styles)


SECONDS_OF_SILENCE = 2.0
"""After which a pipe that brings nothing is named."""


def check_output(path: Path | None) -> None:
    """Whether a file can be written there, before hours of work go into it.

    Raises:
        InputError: it is a folder.
        MachineError: its folder does not exist, or may not be written.
    """
    if path is None:
        return
    if path.is_dir():
        raise InputError("this is a folder", where=str(path), expected="a file")
    place = path if path.exists() else path.absolute().parent
    if not place.exists():
        raise MachineError(
            "the output cannot be written",
            where=str(path),
            expected="a file in a folder that exists and may be written",
            found=f"no folder {place}",
        )
    if not os.access(place, os.W_OK):
        raise unwritable(OSError(errno.EACCES, os.strerror(errno.EACCES)), str(path))


@contextmanager
def output_file(path: Path | None) -> Iterator[TextIO]:
    """A new text file to write into, or stdout for None; the file is there when it is whole.

    Raises:
        NotEnoughDiskError, MachineError: it cannot be opened, or not be written to the end.
    """
    if path is None:
        yield data_out()
        return
    try:
        with written_whole(path) as file:
            yield file
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise unwritable(error, str(path)) from error


def disk_is_full(error: OSError) -> bool:
    """Whether the machine is out of room, or a quota or limit is used up: never a bug."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def unwritable(error: OSError, where: str) -> MachineError:
    """Why an output could not be written."""
    if disk_is_full(error):
        return NotEnoughDiskError(
            "the disk is full", where=where, next_step="free some space, or write to another disk"
        )
    return MachineError(
        "the output cannot be written",
        where=where,
        expected="a file in a folder that exists and may be written",
        found=error.strerror or str(error),
    )


def unusable(error: OSError) -> MachineError:
    """Why a file could not be used, where only the operating system knows."""
    name = error.filename
    where = None if name is None else os.fsdecode(name) if isinstance(name, bytes) else str(name)
    return MachineError(
        "the file cannot be used" if where else "a file cannot be read",
        where=where if where is None or len(where) <= 300 else f"{where[:299]}…",
        found=error.strerror or str(error),
    )


def checked(option: str, value: str, allowed: Sequence[str]) -> str:
    """The value, or an InputError that lists what would have been right."""
    if value in allowed:
        return value
    raise InputError("unknown value", where=option, expected=", ".join(allowed), found=value)


def format_of(wanted: str | None, output: Path | None, allowed: Sequence[str]) -> str:
    """The format that was asked for; else the one that the file's name ends in; else the first.

    Raises:
        InputError: there is no such format.
    """
    if wanted is not None:
        return checked("--format", wanted, allowed)
    suffix = "" if output is None else output.suffix.lower().removeprefix(".")
    return suffix if suffix in allowed else allowed[0]


def piped_text() -> str | None:
    """What a pipe or a file brings on stdin beside an argument; None where stdin is anything
    else: a terminal, nothing, or a socket that somebody may hold open.

    Raises:
        InputError: it is not UTF-8 text.
    """
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):  # closed, or not a file at all
        return None
    if stat.S_ISFIFO(mode):
        _tell_if_nothing_comes()
        return stdin_text()
    return stdin_text() if stat.S_ISREG(mode) else None


def _tell_if_nothing_comes() -> None:
    """A pipe that somebody else keeps open would be waited for without a word."""
    with suppress(OSError, ValueError):
        if select.select([sys.stdin], [], [], SECONDS_OF_SILENCE)[0]:
            return
        from localprompt.views.messages import print_note

        print_note("waiting for the end of stdin; < /dev/null leaves it out")


def stdin_text() -> str | None:
    """What is piped in; None where stdin is a terminal or closed.

    Raises:
        InputError: it is not UTF-8 text, or too large.
    """
    if sys.stdin is None or sys.stdin.isatty():
        return None
    data = sys.stdin.buffer.read(MOST_TEXT_BYTES + 1)
    if len(data) > MOST_TEXT_BYTES:
        raise InputError(
            "stdin is too large", expected=f"at most {MOST_TEXT_BYTES:,} bytes", found="more"
        )
    if not data:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "stdin is not text", where=f"byte {error.start}", expected="UTF-8"
        ) from error
