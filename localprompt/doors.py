"""Limits for what comes from outside: files, patterns and JSON are opened and read here.

Somebody else's suite, prompt, dataset or bundle, and what a user types, may name anything: a pipe
that nobody writes into, ``/dev/zero``, a name of a thousand bytes, a pattern over the whole disk,
JSON a million levels deep. Each of these is refused here, in words, before memory or time is spent
on it. Only regular files are read; stdin is the one exception, where ``/dev/stdin`` names it.
"""

from __future__ import annotations

import errno
import fnmatch
import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localprompt.errors import InputError, LocalPromptError

MOST_TEXT_BYTES = 64 << 20
"""The largest text file that is read whole."""
MOST_SMALL_BYTES = 4 << 20
"""The largest file that one value, one template or one key comes from."""
DEEPEST = 100
"""How deep lists and mappings may lie in each other."""
MOST_MATCHES = 10_000
"""How many files a pattern may stand for."""
_MOST_VISITED = 100_000
"""How many directory entries are looked at for one pattern."""
MOST_DIGITS = 4_300
"""Of a whole number; Python's own limit, beyond which reading one takes quadratic time."""
_STDIN = frozenset({"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})

_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISSOCK: "a socket",
}


def is_file(path: Path | str) -> bool:
    """Whether a regular file is there; False for names that no file can have, which pathlib
    answers with an exception."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path | str) -> bool:
    """Whether a folder is there; see :func:`is_file`."""
    return os.path.isdir(path)  # noqa: PTH112


def exists(path: Path | str) -> bool:
    """Whether anything is there; see :func:`is_file`."""
    return os.path.exists(path)  # noqa: PTH110


def expand_user(path: Path | str) -> Path:
    """``~`` put in; a user who does not exist leaves the path as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def open_file(path: Path | str) -> io.BufferedReader:
    """A regular file, open for reading in binary; or stdin by its name.

    Raises:
        OSError: it cannot be opened, or is a pipe, a device, a folder (``strerror`` says so).
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for somebody to write into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as cause:  # an embedded null byte, half a surrogate pair
        raise OSError(errno.EINVAL, f"not a name that a file can have ({cause})", str(path)) from (
            cause
        )
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or (os.fspath(path) in _STDIN and not stat.S_ISDIR(mode)):
        os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    kind = next((name for is_kind, name in _KINDS.items() if is_kind(mode)), "something else")
    raise OSError(
        errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, f"{kind}, not a file", str(path)
    )


def open_text(path: Path | str, *, encoding: str = "utf-8", newline: str | None = None) -> Any:
    """A regular file, open for reading as text.

    Raises:
        OSError: as :func:`open_file`.
    """
    return io.TextIOWrapper(open_file(path), encoding=encoding, newline=newline)


def read_bytes(path: Path | str, most_bytes: int = MOST_TEXT_BYTES) -> bytes:
    """A regular file's content.

    Raises:
        OSError: as :func:`open_file`, or it is larger (``strerror`` says so).
    """
    with open_file(path) as file:
        status = os.fstat(file.fileno())
        # A read of n bytes takes n bytes of memory, however small the file is.
        known = stat.S_ISREG(status.st_mode) and status.st_size > 0  # in /proc files have none
        data = file.read((min(status.st_size, most_bytes) if known else most_bytes) + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"more than {most_bytes:,} bytes", str(path))
    return data


def read_text(
    path: Path | str,
    *,
    raises: type[LocalPromptError] = InputError,
    where: str | None = None,
    most_bytes: int = MOST_TEXT_BYTES,
) -> str:
    """A text file: UTF-8 with or without byte order mark, line ends as ``\\n``.

    Args:
        raises: the error that a user gets.
        where: the place that it names; by default the path.

    Raises:
        LocalPromptError: of that kind: it is not there, not a file, too large, or not UTF-8.
    """
    shown = where or str(path)
    try:
        data = read_bytes(path, most_bytes)
    except OSError as error:
        raise refusal(error, shown, raises) from error
    return decode(data, shown, raises)


def refusal(
    error: OSError,
    where: str,
    raises: type[LocalPromptError] = InputError,
    *,
    what: str = "file",
    next_step: str | None = None,
) -> LocalPromptError:
    """Why a file could not be read, for the user."""
    if error.errno == errno.ENOENT:
        return raises(f"no such {what}", where=where, next_step=next_step)
    if error.errno == errno.EISDIR:
        return raises("this is a folder", where=where, expected="a file")
    if error.errno == errno.EFBIG:
        return raises("the file is too large", where=where, found=error.strerror)
    if error.errno == errno.EINVAL:
        return raises(
            "only files are read here", where=where, expected="a file", found=error.strerror
        )
    return raises("cannot read the file", where=where, found=error.strerror or str(error))


def decode(
    data: bytes, where: str, raises: type[LocalPromptError] = InputError, *, lines: bool = True
) -> str:
    """UTF-8 text, with its line ends as ``\\n``.

    Raises:
        LocalPromptError: of that kind, with the line and the byte.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise raises(
            "the file is not UTF-8 text",
            where=f"{where}:{line}" if lines else where,
            expected="UTF-8",
            found=f"byte {data[error.start]:#04x} at offset {error.start}",
            next_step=f"iconv -f WINDOWS-1252 -t UTF-8 {where}" if lines else None,
        ) from error
    return text.replace("\r\n", "\n")


def parse_json(text: str | bytes) -> Any:
    """JSON of bounded depth.

    Raises:
        ValueError: it is not JSON (a ``json.JSONDecodeError`` with the place), is nested deeper
            than :data:`DEEPEST`, or holds a whole number of more than :data:`MOST_DIGITS` digits.
    """
    opening = ("[", "{") if isinstance(text, str) else (b"[", b"{")
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except json.JSONDecodeError:
        raise
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except ValueError:
        raise ValueError(f"a number of more than {MOST_DIGITS:,} digits") from None
    if sum(map(text.count, opening)) > DEEPEST:  # type: ignore[arg-type]
        check_depth(value)
    return value


_TOO_DEEP = f"nested deeper than {DEEPEST} levels"


def check_depth(value: Any) -> None:
    """Lists and mappings lie in each other at most :data:`DEEPEST` levels deep.

    Raises:
        ValueError: they do not.
    """
    level, depth = [value], 0
    while level:
        if depth >= DEEPEST:
            raise ValueError(_TOO_DEEP)
        depth += 1
        level = [
            item
            for one in level
            if isinstance(one, dict | list | tuple)
            for item in (one.values() if isinstance(one, dict) else one)
            if isinstance(item, dict | list | tuple)
        ]


def has_pattern(name: str) -> bool:
    """Whether a name stands for the files that match it."""
    return any(character in name for character in "*?[")


def matching(folder: Path, pattern: str, *, where: str) -> list[Path]:
    """The files that match a pattern, sorted; ``**`` stands for any number of folders.

    Args:
        folder: what a relative pattern begins at.
        where: the place of the pattern, for the error.

    Raises:
        InputError: it stands for too many files, or for too large a part of the disk.
    """
    parts = [part for part in Path(pattern).parts if part != "."]
    root = folder
    if parts and Path(parts[0]).is_absolute():
        root = Path(parts.pop(0))
    visited = [0]
    found: dict[Path, None] = {}
    for path in _matches(root, parts, visited, where):
        if is_file(path):
            found[path] = None
        if len(found) > MOST_MATCHES:
            raise _too_wide(pattern, where)
    return sorted(found)


def _matches(root: Path, parts: list[str], visited: list[int], where: str) -> Iterator[Path]:
    if not parts:
        yield root
        return
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from _matches(root, rest, visited, where)
        if len(root.parts) > DEEPEST:
            return
        for entry in _entries(root, visited, where):
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _matches(Path(entry.path), parts, visited, where)
    elif has_pattern(first):
        hidden = first.startswith(".")
        for entry in _entries(root, visited, where):
            if entry.name.startswith(".") == hidden and fnmatch.fnmatchcase(entry.name, first):
                yield from _matches(Path(entry.path), rest, visited, where)
    elif exists(root / first):
        yield from _matches(root / first, rest, visited, where)


def _entries(folder: Path, visited: list[int], where: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                visited[0] += 1
                if visited[0] > _MOST_VISITED:
                    raise _too_wide(str(folder), where)
                yield entry
    except (OSError, ValueError):
        return


def _too_wide(pattern: str, where: str) -> InputError:
    return InputError(
        "the pattern matches too many files",
        where=where,
        expected=f"at most {MOST_MATCHES:,} files, among at most {_MOST_VISITED:,}",
        found=pattern,
    )
