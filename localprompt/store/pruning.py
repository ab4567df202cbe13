"""Forgetting runs.

Deleting rows leaves their text in the file, in pages that SQLite will reuse some day. People who
prune want the room back and what they typed gone, so the file is rewritten afterwards.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from localprompt import paths
from localprompt.errors import HistoryError, InputError
from localprompt.store.connection import (
    BUSY_SECONDS,
    Purpose,
    comparable,
    open_history,
    transaction,
)
from localprompt.store.runs import file_bytes

if TYPE_CHECKING:
    import sqlite3

_CHOSEN = """
FROM runs WHERE (:before IS NULL OR created_at < :before)
AND (:keep IS NULL OR id NOT IN (SELECT id FROM runs ORDER BY id DESC LIMIT :keep))"""

# A bench's plan holds the parameters of its prompts: it goes with the last of its runs. An
# evaluation has no runs and is chosen as they are, among its like.
_FORGET_BENCHES = """
DELETE FROM experiments WHERE kind <> 'eval' AND (:before IS NULL OR created_at < :before)
AND id NOT IN (SELECT experiment_id FROM results WHERE run_id IS NOT NULL)"""
_EVALUATIONS = """
FROM experiments WHERE kind = 'eval' AND (:before IS NULL OR created_at < :before)
AND (:keep IS NULL OR id NOT IN
  (SELECT id FROM experiments WHERE kind = 'eval' ORDER BY id DESC LIMIT :keep))"""


_Chosen = dict[str, str | int | None]


class Pruned(msgspec.Struct, frozen=True):
    """What pruning did, or would do."""

    runs: int
    """Deleted, with their samples."""
    runs_left: int
    freed_bytes: int
    """On disk; 0 for a dry run."""
    compacted: bool
    """The file was rewritten. False: nothing was deleted, or the rewriting had no room or was
    kept from it by another process; the deleted text is then still in the file's free pages."""
    evaluations: int = 0
    """Deleted, with all their results."""


def prune(
    path: Path | None = None,
    *,
    older_than: datetime | None = None,
    keep_last: int | None = None,
    dry_run: bool = False,
    busy_seconds: float = BUSY_SECONDS,
) -> Pruned:
    """Delete the runs that were made before ``older_than`` and are not among the last; and so
    evaluations, of which as many of the last are kept.

    Args:
        path: the database; by default ``history.db`` in ``$LOCALPROMPT_HOME``.
        older_than: None: runs of any age.
        keep_last: runs to keep whatever their age; 0 or None: none. Alone, 0 deletes everything.
        dry_run: count only.

    Raises:
        InputError: neither ``older_than`` nor ``keep_last`` says what to delete.
        HistoryError: the history cannot be read or written; nothing was deleted.
    """
    if (older_than is None and keep_last is None) or (keep_last is not None and keep_last < 0):
        raise InputError(
            "it is not said which runs to forget",
            expected="an age, or how many of the last runs to keep (0 or more)",
            next_step="localprompt runs prune --help",
        )
    database = paths.history_path() if path is None else path
    if not database.exists():
        return Pruned(runs=0, runs_left=0, freed_bytes=0, compacted=False)
    chosen: _Chosen = {
        "before": None if older_than is None else comparable(older_than),
        "keep": keep_last,
    }
    try:
        return _prune(database, chosen, busy_seconds, "read" if dry_run else "write", dry_run)
    except HistoryError as error:
        if not error.disk_is_full or dry_run:
            raise
    return _prune(database, chosen, busy_seconds, "make room", dry_run)


def _prune(
    database: Path, chosen: _Chosen, busy_seconds: float, purpose: Purpose, dry_run: bool
) -> Pruned:
    before = file_bytes(database)
    with open_history(database, busy_seconds, purpose) as connection:
        if dry_run:
            (runs,) = connection.execute(f"SELECT count(*) {_CHOSEN}", chosen).fetchone()
            (evaluations,) = connection.execute(
                f"SELECT count(*) {_EVALUATIONS}", chosen
            ).fetchone()
            left = _count(connection) - runs
            return Pruned(runs, left, freed_bytes=0, compacted=False, evaluations=evaluations)
        with transaction(connection):
            runs = connection.execute(f"DELETE {_CHOSEN}", chosen).rowcount
            evaluations = connection.execute(f"DELETE {_EVALUATIONS}", chosen).rowcount
            connection.execute(_FORGET_BENCHES, chosen)
            connection.execute("DELETE FROM machines WHERE id NOT IN (SELECT machine_id FROM runs)")
        compacted = runs + evaluations > 0 and _compact(connection)
        left = _count(connection)
    freed = max(0, before - file_bytes(database))
    return Pruned(runs, left, freed, compacted, evaluations)


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])


def _compact(connection: sqlite3.Connection) -> bool:
    import sqlite3

    try:
        connection.execute("VACUUM")
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError:  # another process, or no room for the copy it makes
        return False
    return not busy
