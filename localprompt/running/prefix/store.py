"""Keeping, finding and forgetting states.

A file appears under its key's name when it is complete and sealed, by a rename; until then it has
another name and is locked by the process that writes it. Two processes that keep the same state
write a file each, and the later rename wins. A kill leaves a file that nobody has locked, which
the next one that keeps a state removes. The least recently used files go when all of them
together grow over a limit; use is the file's modification time, which each use sets.

The folder has mode 0700 and files 0600. Whatever in the folder is not the user's own regular
file is left alone.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from localprompt import paths as home
from localprompt.errors import InputError, MachineError, NotEnoughDiskError
from localprompt.files import check_free_disk, disk_errors_explained
from localprompt.running.prefix.seal import Verdict, append_seal, examine
from localprompt.units import GIB, format_bytes, parse_bytes

LIMIT_VARIABLE = "LOCALPROMPT_PREFIX_STORE"
DEFAULT_LIMIT_BYTES = GIB
KEPT_FREE_BYTES = 256 * 1024**2
"""Of the disk: a cache must not be what fills it."""

BEGINNING = ".state"
TURN = ".turn"
"""What a file's name ends in: the state of a constant beginning, or of one after an answer."""
MOST_TURNS = 48
TURN_DAYS = 30
"""States after answers are forgotten when there are more, or when nobody went on from them."""
_DRAFT = ".part"


def folder() -> Path:
    return home.cache_folder() / "prefixes"


def limit_bytes() -> int:
    """How large all files together may grow: ``$LOCALPROMPT_PREFIX_STORE``, as 512MiB, or 1 GiB.

    Raises:
        InputError: the variable does not hold a size.
    """
    text = os.environ.get(LIMIT_VARIABLE)
    if not text:
        return DEFAULT_LIMIT_BYTES
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise InputError(
            "not a size", where=LIMIT_VARIABLE, expected="as 512MiB or 2GiB", found=text
        ) from error


class PrefixStore:
    """The states in one folder, by key.

    Args:
        place: None: the folder in ``$LOCALPROMPT_HOME``; need not exist.
        most_bytes: None: as :func:`limit_bytes` says.
    """

    def __init__(self, place: Path | None = None, most_bytes: int | None = None) -> None:
        self._folder = folder() if place is None else place
        self._most_bytes = limit_bytes() if most_bytes is None else most_bytes

    def find(self, key: str, ending: str = BEGINNING) -> Path | None:
        """The file of a state, read once and found to be whole; None where there is none.

        A broken file is removed. It may still be gone when it is opened again, because another
        process may evict it; it cannot have become another one.
        """
        path = self._folder / f"{key}{ending}"
        try:
            verdict = _examine_own(path, key)
        except OSError:
            return None
        if verdict is Verdict.BROKEN:
            with suppress(OSError):
                path.unlink()
        if verdict is not Verdict.WHOLE:
            return None
        with suppress(OSError):  # a folder that may only be read serves as well
            os.utime(path)
        return path

    def turns(self, family: str) -> list[tuple[str, Path]]:
        """States after answers whose keys begin so, by key; the ones used last come first."""
        found = _own_files(self._folder.glob(f"{family}*{TURN}"))
        newest = sorted(found, key=lambda entry: -entry[1].st_mtime_ns)
        return [(path.stem, path) for path, _ in newest]

    def draft(self, key: str, expected_bytes: int, ending: str = BEGINNING) -> Draft:
        """An empty file to write a state into.

        Raises:
            NotEnoughDiskError: it is larger than the limit, or would fill the disk.
            MachineError: the folder cannot be written, or belongs to somebody else.
        """
        with disk_errors_explained(self._folder):
            self._make_folder()
            self.remove_abandoned()
            self._check_size(expected_bytes)
            check_free_disk(
                self._folder,
                expected_bytes + KEPT_FREE_BYTES,
                "a kept prefix",
                next_step="free some space, or use --no-prefix-store",
            )
            return Draft(self, key, ending)

    def publish(self, draft: Draft) -> None:
        """Seal a draft, give it its name, and make room."""
        with disk_errors_explained(self._folder):
            self._check_size(draft.path.stat().st_size)
            append_seal(draft.path, draft.key)
            kept = self._folder / f"{draft.key}{draft.ending}"
            draft.path.replace(kept)
        self._make_room(kept)

    def remove_abandoned(self) -> int:
        """Remove what killed processes were writing.

        Returns:
            the bytes that this freed.
        """
        return sum(_remove_unlocked(path) for path in self._folder.glob(f"*{_DRAFT}"))

    def entries(self) -> list[tuple[Path, os.stat_result]]:
        """All kept files, the least recently used first."""
        found = [
            entry
            for ending in (BEGINNING, TURN)
            for entry in _own_files(self._folder.glob(f"*{ending}"))
        ]
        return sorted(found, key=lambda entry: entry[1].st_mtime_ns)

    def _make_room(self, newest: Path) -> None:
        entries = self._without_old_turns(self.entries())
        total = sum(status.st_size for _, status in entries)
        for path, status in entries:
            if total <= self._most_bytes:
                return
            if path != newest:
                with suppress(OSError):
                    path.unlink()
                total -= status.st_size

    def _without_old_turns(
        self, entries: list[tuple[Path, os.stat_result]]
    ) -> list[tuple[Path, os.stat_result]]:
        """Remove the states after answers that are too many or too old; what is left."""
        turns = [entry for entry in entries if entry[0].suffix == TURN]
        oldest = time.time() - TURN_DAYS * 24 * 3600
        gone = turns[:-MOST_TURNS] + [e for e in turns[-MOST_TURNS:] if e[1].st_mtime < oldest]
        for path, _ in gone:
            with suppress(OSError):
                path.unlink()
        return [entry for entry in entries if entry not in gone]

    def _check_size(self, size: int) -> None:
        if size > self._most_bytes:
            raise NotEnoughDiskError(
                "the state is larger than the limit for all kept prefixes",
                expected=f"at most {format_bytes(self._most_bytes)}",
                found=format_bytes(size),
                next_step=f"set {LIMIT_VARIABLE} to more, or use --no-prefix-store",
            )

    def _make_folder(self) -> None:
        home.make_folder(self._folder)
        status = self._folder.stat()
        if status.st_uid != os.geteuid():
            raise MachineError(
                "the folder for kept prefixes belongs to somebody else",
                where=str(self._folder),
                next_step="set LOCALPROMPT_HOME to a folder of your own",
            )
        if stat.S_IMODE(status.st_mode) != 0o700:
            self._folder.chmod(0o700)


class Draft:
    """A file that is not complete yet; locked, so that nobody takes it for abandoned."""

    def __init__(self, store: PrefixStore, key: str, ending: str) -> None:
        self.key = key
        self.ending = ending
        self._store = store
        self.path, self._descriptor = _locked_file(store._folder, key)

    def keep(self) -> None:
        """It is completely written: seal it and let it be found.

        Raises:
            NotEnoughDiskError, MachineError: it could not be kept, and is gone.
        """
        try:
            self._store.publish(self)
        except BaseException:
            self.discard()
            raise
        os.close(self._descriptor)

    def discard(self) -> None:
        with suppress(OSError):
            self.path.unlink()
        os.close(self._descriptor)


class PrunedPrefixes(msgspec.Struct, frozen=True):
    """What pruning did, or would do."""

    prefixes: int
    prefixes_left: int
    freed_bytes: int


def forget_turns() -> None:
    """Delete all states after answers: they hold what runs asked, and runs were forgotten.

    Raises:
        MachineError: the folder cannot be written.
    """
    place = folder()
    with disk_errors_explained(place):
        for path, _ in _own_files(place.glob(f"*{TURN}")):
            path.unlink(missing_ok=True)


def prune(
    *, older_than: datetime | None = None, dry_run: bool = False, place: Path | None = None
) -> PrunedPrefixes:
    """Delete kept states.

    Args:
        older_than: only those that were last used before; None: all.
        dry_run: count only.

    Raises:
        MachineError: the folder cannot be written.
    """
    store = PrefixStore(place, DEFAULT_LIMIT_BYTES)
    entries = store.entries()
    before = None if older_than is None else older_than.timestamp()
    chosen = [entry for entry in entries if before is None or entry[1].st_mtime < before]
    freed = sum(status.st_size for _, status in chosen)
    if not dry_run:
        with disk_errors_explained(folder() if place is None else place):
            for path, _ in chosen:
                path.unlink(missing_ok=True)
        freed += store.remove_abandoned()
    return PrunedPrefixes(len(chosen), len(entries) - len(chosen), freed)


def _examine_own(path: Path, key: str) -> Verdict | None:
    """None: not a regular file of this user.

    Raises:
        OSError: there is nothing, it is a link, or it cannot be read.
    """
    # A pipe of that name would otherwise be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return examine(descriptor, key) if _is_own(os.fstat(descriptor)) else None
    finally:
        os.close(descriptor)


def _own_files(paths: Iterator[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    for path in paths:
        try:
            status = path.lstat()
        except OSError:
            continue  # another process removed it
        if _is_own(status):
            yield path, status


def _is_own(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def _locked_file(folder: Path, key: str) -> tuple[Path, int]:
    """A new file and its descriptor. One that is not locked yet looks abandoned to another process
    and may be removed by it; then there is another."""
    while True:
        path = folder / f"{key}.{secrets.token_hex(4)}{_DRAFT}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)


def _remove_unlocked(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return 0
    try:
        status = os.fstat(descriptor)
        if not _is_own(status):
            return 0
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:  # somebody is writing it, or removed it
        return 0
    finally:
        os.close(descriptor)
    return status.st_size
