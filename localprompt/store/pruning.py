"""Forgetting runs.

Deleting rows leaves their text in the file, in pages that SQLite will reuse some day. People who
prune want the room back and what they typed gone, so the file is rewritten afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from localprompt.store.finding import EXPERIMENTS
from localprompt.store.runs import file_bytes
from localprompt.store.search import EVERYTHING, Filter, experiments_where, runs_where

if TYPE_CHECKING:
    import sqlite3

_AGED = """
(? IS NULL OR created_at < ?)
AND (? IS NULL OR id NOT IN (SELECT id FROM {table} WHERE {among} ORDER BY id DESC LIMIT ?))"""

# A bench's plan holds the parameters of its prompts: it goes with the last of its runs. Every other
# experiment has no runs and is chosen as they are, among those of its kind.
_WITHOUT_RUNS = "id NOT IN (SELECT experiment_id FROM results WHERE run_id IS NOT NULL)"
_OTHER_KINDS = tuple(kind for kind in EXPERIMENTS if kind not in {"bench", "eval"})
_UNTAGGED = (
    "DELETE FROM tags WHERE id NOT IN (SELECT id FROM runs UNION SELECT id FROM experiments)"
)


class _Chosen(msgspec.Struct, frozen=True):
    """What is to be forgotten."""

    before: str | None
    """Made before this moment."""
    keep: int | None
    """So many of the newest stay."""
    where: Filter


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
    others: int = 0
    """Deleted tunings, trainings, choices, searches for a prompt and measurements of quality."""


def prune(
    path: Path | None = None,
    *,
    older_than: datetime | None = None,
    keep_last: int | None = None,
    where: Filter = EVERYTHING,
    dry_run: bool = False,
    busy_seconds: float = BUSY_SECONDS,
) -> Pruned:
    """Delete the runs that meet every condition, were made before ``older_than`` and are not among
    the last; and likewise evaluations, tunings, and every other kind of experiment, of each of
    which as many of the last are kept. A bench goes with the last of its runs.

    Args:
        path: the database; by default ``history.db`` in ``$LOCALPROMPT_HOME``.
        older_than: None: runs of any age.
        keep_last: of runs and of each kind of experiment, so many are kept whatever their age;
            0 or None: none. Alone, 0 deletes everything.
        where: what else they have to be; words are looked for in the answers of evaluations and
            in the records of other experiments, too.
        dry_run: count only.

    Raises:
        InputError: nothing says what to delete, or what is searched for is not an expression.
        HistoryError: the history cannot be read or written; nothing was deleted.
    """
    nothing_said = older_than is None and keep_last is None and where == EVERYTHING
    if nothing_said or (keep_last is not None and keep_last < 0):
        raise InputError(
            "say which runs to forget",
            expected="an age, a search, or how many of the last runs to keep (0 or more)",
            next_step="localprompt runs prune --help",
        )
    database = paths.history_path() if path is None else path
    if not database.exists():
        return Pruned(runs=0, runs_left=0, freed_bytes=0, compacted=False)
    chosen = _Chosen(None if older_than is None else comparable(older_than), keep_last, where)
    try:
        return _prune(database, chosen, busy_seconds, "read" if dry_run else "write", dry_run)
    except HistoryError as error:
        if not error.disk_is_full or dry_run:
            raise
    return _prune(database, chosen, busy_seconds, "make room", dry_run)


def _prune(
    database: Path, chosen: _Chosen, busy_seconds: float, purpose: Purpose, dry_run: bool
) -> Pruned:
    before, where = file_bytes(database), chosen.where
    with open_history(database, busy_seconds, purpose) as connection:
        aged = (chosen.before, chosen.before, chosen.keep, chosen.keep)
        meant, values = runs_where(where, connection)
        runs_meant = f"{_AGED.format(table='runs', among='true')} AND {meant}"
        of_runs = (*aged, *values)
        meant, values = experiments_where(where, connection)
        of_kind = (*aged, *values)
        if dry_run:
            runs = _count(connection, "runs", runs_meant, of_runs)
            evaluations, *others = (
                _count(connection, "experiments", _of_kind(kind, meant), of_kind)
                for kind in ("eval", *_OTHER_KINDS)
            )
            left = _count(connection, "runs") - runs
            return Pruned(runs, left, 0, False, evaluations, sum(others))
        with transaction(connection):
            emptied = _benches_of(connection, runs_meant, of_runs)
            runs = _delete(connection, "runs", runs_meant, of_runs)
            evaluations, *others = (
                _delete(connection, "experiments", _of_kind(kind, meant), of_kind)
                for kind in ("eval", *_OTHER_KINDS)
            )
            if where == EVERYTHING:  # plans that never had a run, too
                plans = f"kind = 'bench' AND (? IS NULL OR created_at < ?) AND {_WITHOUT_RUNS}"
                _delete(connection, "experiments", plans, aged[:2])
            for bench in emptied:
                _delete(connection, "experiments", f"id = ? AND {_WITHOUT_RUNS}", (bench,))
            connection.execute("DELETE FROM machines WHERE id NOT IN (SELECT machine_id FROM runs)")
            connection.execute(_UNTAGGED)
        compacted = runs + evaluations + sum(others) > 0 and _compact(connection)
        left = _count(connection, "runs")
    freed = max(0, before - file_bytes(database))
    return Pruned(runs, left, freed, compacted, evaluations, sum(others))


def _of_kind(kind: str, meant: str) -> str:
    """The experiments of a kind that are old enough, beyond those to keep, and meant."""
    among = f"kind = '{kind}'"
    return f"{among} AND {_AGED.format(table='experiments', among=among)} AND {meant}"


def _benches_of(
    connection: sqlite3.Connection, condition: str, values: Sequence[object]
) -> list[str]:
    """The experiments that these runs belong to."""
    query = f"""
        SELECT DISTINCT experiment_id FROM results
        WHERE run_id IN (SELECT id FROM runs WHERE {condition})"""  # noqa: S608
    return [row[0] for row in connection.execute(query, values)]


def _delete(
    connection: sqlite3.Connection, table: str, condition: str, values: Sequence[object]
) -> int:
    return connection.execute(f"DELETE FROM {table} WHERE {condition}", values).rowcount  # noqa: S608


def _count(
    connection: sqlite3.Connection,
    table: str,
    condition: str = "true",
    values: Sequence[object] = (),
) -> int:
    query = f"SELECT count(*) FROM {table} WHERE {condition}"  # noqa: S608
    return int(connection.execute(query, values).fetchone()[0])


def _compact(connection: sqlite3.Connection) -> bool:
    import sqlite3

    try:
        connection.execute("INSERT INTO run_index (run_index) VALUES ('optimize')")
        connection.execute("VACUUM")
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError:  # another process, or no room for the copy it makes
        return False
    return not busy
