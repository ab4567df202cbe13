"""What the Linux kernel tells in text files under /proc and /sys.

Reading them costs microseconds, needs no library and is what every tool on Linux reads in the
end. Files that are missing, unreadable or of another shape are an everyday matter (old kernels,
containers, other CPUs), so nothing here raises: what cannot be read is ``None``, or absent.

The root is a value, so that tests can describe a machine that they do not run on.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


class KernelFiles:
    """The files of one machine; paths are relative to the root, as ``proc/meminfo``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def text(self, path: str, *, most_bytes: int = -1) -> str | None:
        """The stripped text of a file, or of its beginning; None where it cannot be read."""
        try:
            with (self._root / path).open("rb", buffering=0) as file:
                raw = file.read(most_bytes)
        except OSError:
            return None
        return raw.decode(errors="replace").strip("\0\n ")

    def number(self, path: str) -> int | None:
        """The only number of a file; None where it holds anything else, as ``max``."""
        return as_number(self.text(path))

    def amounts(self, path: str) -> dict[str, int]:
        """Lines of a name and a number: ``VmRSS:  1640 kB`` or ``cache 4096``, kB in bytes."""
        found = {}
        for line in (self.text(path) or "").splitlines():
            name, *rest = line.replace(":", " ", 1).split()[:3] or [""]
            value = as_number(rest[0]) if rest else None
            if value is not None:
                found[name] = value * 1024 if rest[1:] == ["kB"] else value
        return found

    def names(self, folder: str) -> list[str]:
        """What a folder holds, sorted; nothing where there is no such folder."""
        try:
            return sorted(os.listdir(self._root / folder))  # noqa: PTH208  names, not paths
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        return (self._root / path).exists()


def as_number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


HOST = KernelFiles(Path("/"))
ON_LINUX = sys.platform == "linux"
