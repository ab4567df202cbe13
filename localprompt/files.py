"""Atomic writes, and the errors of a full or read-only disk.

Whatever appears under its final name is complete: it was written under another name on the same
filesystem and then renamed. Every refusal of the operating system that a user can do something
about (no space, no permission, a read-only disk) leaves here as an error that says so.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from localprompt import paths
from localprompt.errors import InputError, MachineError, NotEnoughDiskError
from localprompt.units import format_bytes

_ELSEWHERE = "set LOCALPROMPT_HOME to a folder on a larger disk"

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


def replace_file(path: Path, content: bytes) -> None:
    """Give ``path`` this content; a reader sees the old file or the new one, never a part.

    Creates the folder. Who may read the file follows from its place, as :func:`give_place` says.

    Raises:
        OSError: it could not be written; ``path`` is as it was.
    """
    place_says = paths.file_mode(path)
    if place_says is None:
        path.parent.mkdir(parents=True, exist_ok=True)
    else:
        paths.make_folder(path.parent)
    draft = path.with_name(_draft_name())
    try:
        draft.touch(mode=0o666 if place_says is None else 0o600)
        draft.write_bytes(content)
        give_place(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def give_place(draft: Path, path: Path) -> None:
    """Rename a finished file. In the home only its user may read it then, in the shared store all,
    whatever the umask; elsewhere those who could read what was there before.

    Raises:
        OSError: ``path`` cannot be written; it is as it was.
    """
    mode = paths.file_mode(path)
    if mode is not None:
        draft.chmod(mode)
    elif path.exists():
        shutil.copymode(path, draft)
    draft.replace(path)


def make_file(path: Path, content: bytes) -> None:
    """Make a new file with this content, in one step.

    Raises:
        FileExistsError: something is there by now; it is as it was.
        OSError: it could not be written; nothing is there.
    """
    draft = path.with_name(_draft_name())
    try:
        with draft.open("xb") as file:
            file.write(content)
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            raise
        except OSError:  # a disk that knows no second names
            with path.open("xb") as file:
                file.write(content)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def written_whole(path: Path) -> Iterator[TextIO]:
    """A text file (UTF-8, line ends as they are) that gets its name when it is whole: until then,
    and for good where the body raises or is killed, what was there before stays.

    Pipes, devices, files with several names, and files in folders that cannot be written are
    written where they are.

    Raises:
        OSError: it cannot be written.
    """
    target = Path(os.path.realpath(path))
    try:
        there = path.stat()
    except FileNotFoundError:
        there = None
    draft = None if _stays(path, there) else target.with_name(_draft_name())
    try:
        file = (draft or path).open("w" if draft is None else "x", newline="", encoding="utf-8")
    except PermissionError:
        if draft is None or there is None:
            raise
        draft, file = None, path.open("w", newline="", encoding="utf-8")
    try:
        with file:
            yield file
        if draft is not None:
            if there is not None:
                _make_like(draft, there)
            draft.replace(target)
    except BaseException:
        if draft is not None:
            draft.unlink(missing_ok=True)
        raise


def _stays(path: Path, there: os.stat_result | None) -> bool:
    """Whether what is there has to be written itself: nothing could take its place."""
    if path.is_absolute() and path.parts[1:2] in {("dev",), ("proc",)}:
        return True  # names of what is open
    return there is not None and (not stat.S_ISREG(there.st_mode) or there.st_nlink > 1)


def _draft_name() -> str:
    return f".localprompt-{secrets.token_hex(8)}"


def _make_like(draft: Path, there: os.stat_result) -> None:
    """The rights and the owner of a file, for the one that takes its place."""
    if (draft.stat().st_uid, draft.stat().st_gid) != (there.st_uid, there.st_gid):
        with suppress(PermissionError):
            os.chown(draft, there.st_uid, there.st_gid)
    draft.chmod(stat.S_IMODE(there.st_mode))


def sync(path: Path) -> None:
    """Hand a file's bytes to the disk before it gets its final name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_free_disk(
    folder: Path,
    needed_bytes: int,
    what: str,
    *,
    estimated: bool = False,
    next_step: str = f"free some space, or {_ELSEWHERE}",
) -> None:
    """Whether so much fits onto the disk of ``folder``, which need not exist yet.

    Raises:
        NotEnoughDiskError: it does not; with both figures.
    """
    existing = folder
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise NotEnoughDiskError(
            f"not enough disk space for {what}",
            where=str(folder),
            expected=f"{format_bytes(needed_bytes)} free{' (estimated)' if estimated else ''}",
            found=f"{format_bytes(free)} free",
            next_step=next_step,
        )


@contextmanager
def disk_errors_explained(folder: Path) -> Iterator[None]:
    """Turn refusals of the disk under ``folder`` into errors for the user.

    Raises:
        NotEnoughDiskError: the disk or the quota is full, or files may not grow that large.
        MachineError: the folder cannot be created or written.
    """
    try:
        yield
    except OSError as cause:
        if cause.errno in _FULL:
            raise NotEnoughDiskError(
                "the disk is full",
                where=str(folder),
                found=cause.strerror,
                next_step=f"free some space, or {_ELSEWHERE}",
            ) from cause
        if cause.errno in _FORBIDDEN:
            raise MachineError(
                "localprompt cannot write to its folder",
                where=str(cause.filename or folder),
                expected="a folder that you may write to",
                found=cause.strerror,
                next_step="set LOCALPROMPT_HOME to a folder that you may write to",
            ) from cause
        raise


@contextmanager
def for_all_users(wanted: bool) -> Iterator[None]:
    """Within it the shared store is the home, children included, where that is ``wanted``.

    Raises:
        InputError: there is no shared store: it is switched off.
        MachineError: this user may not write there.
    """
    if not wanted:
        yield
        return
    store = paths.shared()
    if store is None:
        raise InputError(
            "there is no shared store to write to: it is switched off",
            where=f"{paths.SHARED_VARIABLE}, or shared in {paths.configuration()}",
            expected=f"a folder, as {paths.USUAL_SHARED}",
            found=paths.NO_SHARED,
        )
    existing = next(path for path in (store, *store.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        raise MachineError(
            "only who keeps the shared store may write to it",
            where=str(store),
            next_step="sudo with the same command, or without --system for yourself alone",
        )
    before = os.environ.get(paths.HOME_VARIABLE)
    # The store is named as well: the configuration that may have named it was the home's.
    os.environ[paths.HOME_VARIABLE], named = str(store), os.environ.get(paths.SHARED_VARIABLE)
    os.environ[paths.SHARED_VARIABLE] = str(store)
    try:
        yield
    finally:
        _restore(paths.HOME_VARIABLE, before)
        _restore(paths.SHARED_VARIABLE, named)


def _restore(variable: str, value: str | None) -> None:
    os.environ.pop(variable, None)
    if value is not None:
        os.environ[variable] = value


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
    paths.make_folder(store)
    cache = paths.cache_folder()
    paths.make_folder(cache)
    folder = cache / name if _same_disk(cache, store) else store / f".{name}"
    paths.make_folder(folder)
    lock = os.open(folder, os.O_RDONLY)
    try:
        _take(lock, folder, activity)
        work = folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
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
