"""Benches that run at the same time disturb each other; here they learn of each other.

Each holds a lock on a file of its own in ``$LOCALPROMPT_HOME/running``. The lock goes with the
process, however that ends: a file whose lock can be had is left over and is removed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from localprompt import paths
from localprompt.records.run import RunWarning

_PATTERN = "bench-*.lock"


class Neighbours:
    """The other benches of this home."""

    def __init__(self, own: Path | None) -> None:
        self._own = own

    def pids(self) -> tuple[int, ...]:
        """Process ids of the others that are running now."""
        if self._own is None:
            return ()
        others = (path for path in self._own.parent.glob(_PATTERN) if path != self._own)
        return tuple(int(path.stem.removeprefix("bench-")) for path in others if _alive(path))

    def warnings(self) -> tuple[RunWarning, ...]:
        """For the repetition that has just ended."""
        pids = self.pids()
        if not pids:
            return ()
        who = ", ".join(map(str, pids))
        return (
            RunWarning(
                "another_bench",
                f"another bench is running (process {who})",
                "wait for one of them to finish, then repeat the other's measurements",
            ),
        )


def running_now() -> tuple[RunWarning, ...]:
    """About benches that are running before this one begins."""
    return Neighbours(_folder() / "this").warnings()


@contextmanager
def announced() -> Iterator[Neighbours]:
    """Be known to other benches while the body runs.

    Where the folder cannot be written nobody is told of anything; the bench runs all the same.
    """
    folder = _folder()
    path = folder / f"bench-{os.getpid()}.lock"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:
        yield Neighbours(None)
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Neighbours(path)
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _folder() -> Path:
    return paths.home() / "running"


def _alive(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        with suppress(OSError):
            path.unlink()
        return False
    finally:
        os.close(descriptor)
