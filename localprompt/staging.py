"""A place for files that are not complete yet, beside the store.

What is in the store is complete. Whatever takes time to arrive (a download, a quantization) is
written here first and then renamed into the store, which is one step because both are on the same
filesystem. A kill leaves a file here that nothing looks for; the next one of its kind removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from localprompt import paths
from localprompt.errors import MachineError


@contextmanager
def staging(store: Path, name: str, activity: str) -> Iterator[Path]:
    """A folder called ``name`` on the store's filesystem, for one process at a time.

    It is in the cache, unless the store is a link to another disk: a rename is one step only
    within a filesystem. Its ``work`` folder is empty at the start and gone at the end; what lies
    beside that one stays.

    Args:
        store: where the finished file will go; created.
        name: of the folder, one for each kind of activity.
        activity: what the user calls it, as "pull"; for the error.

    Raises:
        MachineError: another process does the same.
        OSError: a folder cannot be created.
    """
    store.mkdir(parents=True, exist_ok=True)
    cache = paths.cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / name if _same_disk(cache, store) else store / f".{name}"
    folder.mkdir(exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        _take(lock, folder, activity)
        work = folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(work, ignore_errors=True)
            with suppress(OSError):
                folder.rmdir()  # stays where it holds something to go on with
    finally:
        os.close(lock)


def _same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def _take(lock: int, folder: Path, activity: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        raise MachineError(
            f"another {activity} is running",
            where=str(folder),
            next_step=f"wait until it is done, then {activity} again",
        ) from cause
