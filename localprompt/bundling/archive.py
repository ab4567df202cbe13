"""The archive: plain tar of files only, written and read strictly.

Written so that every tar unpacks it, and so that the same files give the same bytes: no owner, one
fixed time, one order. Read by 60 lines of our own instead of a library that understands everything:
an ordinary file with a sound header is all that a bundle has. Links, devices, folders, sparse files
and extension headers are refused by their type before anything of them is looked at, so there is
nothing through which a crafted archive could reach outside or grow. Headers are those of POSIX's
ustar, and for weights of 8 GiB and more GNU's form of the size.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from localprompt.errors import InputError, MachineError

BLOCK = 512
CHUNK_BYTES = 1024**2
_MTIME = 315_532_800
"""1980-01-01, the oldest time that tar and zip both take without a complaint."""
_LARGEST_OCTAL = 8 * 1024**3
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a folder",
    b"6": "a pipe",
    b"7": "a contiguous file",
    b"S": "a sparse file",
}


def header(path: str, size_bytes: int, *, executable: bool) -> bytes:
    """The 512 bytes before a file.

    Raises:
        InputError: the path is too long for a tar header.
    """
    info = tarfile.TarInfo(path)
    info.size, info.mtime, info.mode = size_bytes, _MTIME, 0o755 if executable else 0o644
    try:
        if size_bytes < _LARGEST_OCTAL:
            packed = info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
        else:
            packed = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")
    except ValueError:
        packed = b""
    if len(packed) != BLOCK:
        raise InputError(
            "a path is too long for the archive",
            where=path,
            expected="file names of at most 100 bytes, and paths of 240",
        )
    return packed


def padding(size_bytes: int) -> bytes:
    """What fills a file's last block."""
    return bytes(-size_bytes % BLOCK)


END = bytes(2 * BLOCK)
"""What closes an archive."""


def archive_bytes(sizes: Iterator[int]) -> int:
    """How large an archive of files of these sizes is."""
    return sum(BLOCK + size + len(padding(size)) for size in sizes) + len(END)


class Member(NamedTuple):
    """A file of the archive; its chunks have to be read before the next one is asked for."""

    path: str
    size_bytes: int
    executable: bool | None
    """None: not known, since a folder's modes are its owner's affair."""
    chunks: Iterator[bytes]


def members(file: BinaryIO, where: Path) -> Iterator[Member]:
    """The files of an archive, in order.

    Raises:
        MachineError: it is damaged or cut off, or has something else in it than files.
    """
    while (head := file.read(BLOCK)) != bytes(BLOCK):
        path, size = _parse(head, where)
        executable = _executable(head, path, size, where)
        yield Member(path, size, executable, _chunks(file, path, size, where))
    closing = 0
    while rest := file.read(CHUNK_BYTES):
        closing += len(rest)
        if any(rest):
            raise _damaged(where, "data after the end of the archive")
    if closing == 0 or closing % BLOCK:
        raise _damaged(where, "its end within the closing blocks")


def _chunks(file: BinaryIO, path: str, size: int, where: Path) -> Iterator[bytes]:
    left = size
    while left:
        chunk = file.read(min(CHUNK_BYTES, left))
        if not chunk:
            raise _damaged(where, f"its end within {path}")
        left -= len(chunk)
        yield chunk
    if any(file.read(len(padding(size)))):
        raise _damaged(where, f"something between {path} and the next file")


def _parse(head: bytes, where: Path) -> tuple[str, int]:
    if len(head) < BLOCK:
        raise _damaged(where, "its end where a file or the closing blocks should be")
    magic = head[257:265]
    checksum = sum(head[:148]) + 8 * ord(" ") + sum(head[156:])
    if magic not in (b"ustar\x0000", b"ustar  \x00") or _number(head[148:156]) != checksum:
        raise _damaged(where, "something that is not a file header")
    prefix = head[345:500].rstrip(b"\0") if magic == b"ustar\x0000" else b""
    raw = (prefix + b"/" if prefix else b"") + head[:100].rstrip(b"\0")
    path = raw.decode("utf-8", "backslashreplace")
    if (kind := head[156:157]) not in (b"0", b"\0"):
        raise MachineError(
            "the archive contains something that is not an ordinary file",
            where=f"{where}: {path}",
            expected="files only, as localprompt writes them",
            found=_KINDS.get(kind, f"an extension header of type {kind!r}"),
        )
    size = _number(head[124:136])
    if size is None:
        raise _damaged(where, f"no size of {path}")
    return path, size


def _executable(head: bytes, path: str, size: int, where: Path) -> bool:
    """Whether the file is for running; everything else of its header is as we write it.

    Owner, time, device and mode say nothing about a bundle, and somebody else's tar obeys them.
    """
    for executable in (False, True):
        with suppress(InputError):
            if head == header(path, size, executable=executable):
                return executable
    raise MachineError(
        "a file in the archive has an unexpected owner, mode or time",
        where=f"{where}: {path}",
        expected="a header as localprompt writes it",
        next_step="make the bundle again, or ask its sender to",
    )


def _number(field: bytes) -> int | None:
    """Octal digits; or, with the first bit set, the number itself."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.rstrip(b" \0").lstrip(b" ")
    return int(digits, 8) if digits and digits.strip(b"01234567") == b"" else None


def _damaged(where: Path, found: str) -> MachineError:
    return MachineError(
        "the archive is damaged, or not a bundle",
        where=str(where),
        found=found,
        next_step="copy it again, and compare its sha256 with the original's",
    )
