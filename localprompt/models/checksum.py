"""The sha256 of weights, without hashing 100 MB at every run.

Of a model in several files it is that of their bytes one after another (``cat PARTS | sha256sum``).

A hash that was computed once is remembered by the file's absolute path, size, modification time
(nanoseconds) and inode. Any change of these means that the file is hashed again. The memory is
one JSON file in the cache folder: losing it, damaging it or being unable to write it costs time
and nothing else. ``models verify`` does not ask it (``fresh=True``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

from localprompt import doors, paths
from localprompt.files import replace_file
from localprompt.gguf.splits import parts_of, total_bytes

Hashed = Callable[[int, int], None]
"""Called with the bytes hashed so far and the size of the file."""

_CHUNK_BYTES = 1024**2
_TOLD_BYTES = 16 * _CHUNK_BYTES
_SHA256 = re.compile("[0-9a-f]{64}")
_MOST_ENTRIES = 1000


def sha256_of(path: Path, *, progress: Hashed | None = None, fresh: bool = False) -> str:
    """The sha256 of the file's bytes, as 64 hexadecimal digits.

    Args:
        path: the file.
        progress: called about every 16 MiB while hashing; not called when the hash is known.
        fresh: hash the bytes even where a hash is remembered.

    Raises:
        OSError: the file cannot be read.
    """
    path = path.absolute()
    known = None if fresh else known_sha256(path)
    if known is not None:
        return known
    before = _signature(path)
    digest = _hash(path, progress)
    if _signature(path) == before:
        _remember(path, before, digest)
    return digest


def known_sha256(path: Path) -> str | None:
    """The remembered hash, or None if the file has changed or was never hashed."""
    entry = _read_memory().get(str(path.absolute()))
    try:
        if isinstance(entry, list) and entry[:-1] == _signature(path):
            return entry[-1] if _SHA256.fullmatch(str(entry[-1])) else None
    except OSError:
        pass  # the file is gone
    return None


def remember_sha256(path: Path, digest: str) -> None:
    """Note a hash that was computed while the file was written."""
    _remember(path.absolute(), _signature(path), digest)


def _hash(path: Path, progress: Hashed | None) -> str:
    parts, total = parts_of(path), total_bytes(path)
    digest, done = hashlib.sha256(), 0
    for part in parts:
        with doors.open_file(part) as file:
            if progress is None and len(parts) == 1:
                return hashlib.file_digest(file, "sha256").hexdigest()
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                before, done = done, done + len(chunk)
                if progress and (done // _TOLD_BYTES > before // _TOLD_BYTES or done == total):
                    progress(done, total)
    return digest.hexdigest()


def _signature(path: Path) -> list[int]:
    stats = [part.stat() for part in parts_of(path)]
    return [number for s in stats for number in (s.st_size, s.st_mtime_ns, s.st_ino)]


def _memory_path() -> Path:
    return paths.cache_folder() / "sha256.json"


def _read_memory() -> dict[str, object]:
    try:
        memory = json.loads(_memory_path().read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return memory if isinstance(memory, dict) else {}


def _remember(path: Path, signature: list[int], digest: str) -> None:
    memory = _read_memory()
    memory.pop(str(path), None)
    memory[str(path)] = [*signature, digest]
    newest = dict(list(memory.items())[-_MOST_ENTRIES:])
    try:
        replace_file(_memory_path(), json.dumps(newest, indent=0).encode())
    except OSError:
        return  # an unwritable home costs a hash at the next run, nothing else
