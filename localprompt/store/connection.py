"""Opening the history database, and saying in the user's words why it cannot be used.

The database is private (its folder 0700, the file 0600, and SQLite gives its companions ``-wal``
and ``-shm`` the file's mode) and in WAL mode, so that readers never wait for a writer nor a writer
for readers; writers wait for each other. ``synchronous`` is NORMAL: what is committed survives the
death of every process; a power cut may take the last commits but cannot damage the file.

sqlite3 is imported when a database is opened, not when this module is.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from localprompt import paths
from localprompt.errors import HistoryError
from localprompt.store import schema

if TYPE_CHECKING:
    import sqlite3

BUSY_SECONDS = 5.0
"""How long to wait for another process that is writing before giving up."""

_ELSEWHERE = "set LOCALPROMPT_HOME to a folder that can be written, or use --no-log"
_RETRY_SECONDS = 0.01
_WAL_INDEX_BYTES = 32 * 1024


Purpose = Literal["write", "read", "make room"]
"""What a history is opened for. To read one, nothing has to be written, so that a full or read-only
disk is no hindrance; to make room on a full disk, nothing is written beside the file itself."""


@contextmanager
def open_history(
    path: Path, busy_seconds: float = BUSY_SECONDS, purpose: Purpose = "write"
) -> Iterator[sqlite3.Connection]:
    """The database at ``path``, made or migrated where necessary, in autocommit mode.

    Whatever goes wrong in the body is explained as well; the connection is closed at the end.

    Raises:
        HistoryError: it cannot be opened, read or written, or is of a newer version.
    """
    openers = {"write": _open_to_write, "read": _open_to_read, "make room": _open_in_place}
    with explained(path):
        connection = openers[purpose](path, busy_seconds)
        try:
            yield connection
        finally:
            connection.close()


def _open_to_write(path: Path, busy_seconds: float) -> sqlite3.Connection:
    import sqlite3

    _make_private_file(path)
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
    try:
        _enter_wal_mode(connection, busy_seconds)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        schema.migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _open_to_read(path: Path, busy_seconds: float) -> sqlite3.Connection:
    """As for writing; where the disk does not let that be done, as the file stands there.

    Without a place for the index of the write-ahead log, what is still in that log cannot be seen:
    the runs since the last time that the history was closed in order.
    """
    import sqlite3

    try:
        return _open_to_write(path, busy_seconds)
    except (OSError, sqlite3.OperationalError) as error:
        refusals = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL,
                    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM}  # fmt: skip
        if isinstance(error, sqlite3.Error) and primary_code(error) not in refusals:
            raise
        for how in ("mode=ro", "mode=ro&immutable=1"):
            address = f"{path.absolute().as_uri()}?{how}"
            try:
                connection = sqlite3.connect(address, uri=True, isolation_level=None)
            except sqlite3.Error:
                continue
            try:
                schema.migrate(connection)
            except sqlite3.Error:
                connection.close()
                continue
            except BaseException:
                connection.close()
                raise
            return connection
        raise


def _open_in_place(path: Path, busy_seconds: float) -> sqlite3.Connection:
    """To delete where nothing more can be written: journal and copies are kept in memory.

    Until it is closed, a power cut can damage the file; there is no room for anything safer.
    """
    import sqlite3

    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA foreign_keys = ON")
        schema.migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def empty_history() -> Iterator[sqlite3.Connection]:
    """A history without runs that leaves no file behind: what a reader sees where none exists."""
    import sqlite3

    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        schema.migrate(connection)
        yield connection
    finally:
        connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the body's changes or none. The write lock is taken at once, so that the busy
    timeout covers the wait for it and nothing that was read can change before it is written."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled back by itself already (a full disk does that).
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Failures of SQLite and of the file system become a HistoryError about ``path``."""
    import sqlite3

    try:
        yield
    except schema.SchemaMismatchError as error:
        raise _mismatch(error, path) from error
    except (sqlite3.ProgrammingError, sqlite3.NotSupportedError):
        raise  # wrong use of the library: a bug, which keeps its traceback
    except sqlite3.Error as error:
        raise _explain(error, path) from error
    except UnicodeDecodeError as error:  # SQLite quotes a damaged schema, whatever its bytes are
        raise _explain(_damaged(error), path) from error
    except OSError as error:
        raise HistoryError(
            "the history of runs cannot be kept here",
            where=str(path),
            expected="a folder that can be written",
            found=_instead(path) or error.strerror or str(error),
            next_step=_ELSEWHERE,
        ) from error


def _damaged(cause: UnicodeDecodeError) -> sqlite3.Error:
    import sqlite3

    error = sqlite3.DatabaseError(f"text that is not UTF-8: {cause.reason}")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _make_private_file(path: Path) -> None:
    paths.make_folder(path.parent)
    # Only a file that is not there yet is opened: closing a second handle of a database that this
    # process has open would silently release SQLite's locks on it (POSIX fcntl locks).
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        paths.close(file)  # an earlier version, or a copy, may have left it open to others


def _enter_wal_mode(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Persistent, so only the first opening changes anything. While two processes open a new
    database at once SQLite may answer "locked" here without waiting: that is waited for."""
    import sqlite3

    deadline = time.monotonic() + busy_seconds
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code (the low byte of the extended one); 1 where it gave none."""
    return int(getattr(error, "sqlite_errorcode", 1)) & 0xFF


def _explain(error: sqlite3.Error, path: Path) -> HistoryError:
    import sqlite3

    moved = f"mv '{path}' '{path}.broken'   (the next run begins a new history)"
    by_code = {
        sqlite3.SQLITE_BUSY: (
            "the history is locked by another process",
            f"end the process that holds it (fuser '{path}' names it), or use --no-log",
        ),
        sqlite3.SQLITE_CORRUPT: ("the history is damaged", moved),
        sqlite3.SQLITE_NOTADB: ("the history is not a SQLite database", moved),
        sqlite3.SQLITE_READONLY: ("the history cannot be written", _ELSEWHERE),
        sqlite3.SQLITE_CANTOPEN: ("the history cannot be opened", _ELSEWHERE),
        sqlite3.SQLITE_PERM: ("no permission to open the history", _ELSEWHERE),
        sqlite3.SQLITE_FULL: (
            "the disk is full",
            "localprompt runs prune --keep-last 100, free some space, or use --no-log",
        ),
        sqlite3.SQLITE_IOERR: ("the disk failed to read or write the history", _ELSEWHERE),
        sqlite3.SQLITE_CONSTRAINT: (
            "the run contradicts what the history holds",
            "use --no-log, and report this with the line above",
        ),
        sqlite3.SQLITE_PROTOCOL: (
            "the history cannot be locked (network file systems cannot do it)",
            _ELSEWHERE,
        ),
    }
    code = primary_code(error)
    if code == sqlite3.SQLITE_IOERR and _is_full(path):
        code = sqlite3.SQLITE_FULL
    message, next_step = by_code.get(
        code, ("the history cannot be used", f"look at '{path}', or use --no-log")
    )
    explained = HistoryError(
        message, where=str(path), found=f"SQLite says: {error}", next_step=next_step
    )
    explained.disk_is_full = code == sqlite3.SQLITE_FULL
    return explained


def _is_full(path: Path) -> bool:
    """SQLite reports a full disk as such only where it writes: when it cannot make room for the
    index of the write-ahead log, that is an I/O error to it."""
    import shutil

    try:
        return shutil.disk_usage(path.parent).free < _WAL_INDEX_BYTES
    except OSError:
        return False


def _instead(path: Path) -> str | None:
    """What stands where a folder should be."""
    for folder in path.parents:
        if folder.is_file():
            return f"a file, {folder}"
    return None


def _mismatch(error: schema.SchemaMismatchError, path: Path) -> HistoryError:
    newest = schema.MIGRATIONS[-1].number
    if error.version is None:
        return HistoryError(
            "this SQLite database is not a history of localprompt",
            where=str(path),
            expected="a history, or no file",
            next_step="move it away, or set LOCALPROMPT_HOME to another folder",
        )
    return HistoryError(
        "the history was written by a newer localprompt",
        where=str(path),
        expected=f"schema version {newest} or older",
        found=f"schema version {error.version}",
        next_step="update localprompt, or set LOCALPROMPT_HOME to another folder",
    )


_FLOAT64_BYTES = 8


def pack(seconds: Sequence[float]) -> bytes:
    """A series as it lies in ``samples.seconds``: float64, little-endian, without a header."""
    return struct.pack(f"<{len(seconds)}d", *seconds)


def unpack(blob: bytes, path: Path) -> tuple[float, ...]:
    """The series again, bit for bit.

    Args:
        path: of the database that it comes from, for the error.

    Raises:
        HistoryError: the bytes are not such a series.
    """
    try:
        return struct.unpack(f"<{len(blob) // _FLOAT64_BYTES}d", blob)
    except (TypeError, struct.error) as error:
        raise HistoryError(
            "the raw times of a run cannot be read",
            where=str(path),
            found=str(error),
            next_step="localprompt runs prune, to delete the runs with these times",
        ) from error


def comparable(moment: datetime) -> str:
    """A moment to compare ``created_at`` with, as text: UTC, to the second, without a suffix.

    ``created_at`` may have fractions and ends in ``Z`` or ``+00:00``; as text it then compares
    with this as the moments do. A naive ``moment`` is taken as local time.
    """
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
