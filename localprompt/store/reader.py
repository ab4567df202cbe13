"""Finding runs again.

    with HistoryReader() as history:
        run = history.get("last")
        for run in history.runs(kind="bench", limit=20): ...

A run is named by its id, by any beginning of its id that no other run shares, by ``last``, or by
``last~3`` (the third before the last). A history that does not exist yet is an empty one: reading
makes no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import msgspec

from localprompt import paths
from localprompt.errors import HistoryError, UnknownNameError
from localprompt.records import json
from localprompt.records.run import Kind, RunRecord, Samples
from localprompt.store import schema
from localprompt.store.connection import (
    BUSY_SECONDS,
    comparable,
    empty_history,
    explained,
    open_history,
    unpack,
)

_LAST = re.compile(r"last(?:~(\d{1,9}))?", re.ASCII)
_ID_PREFIX = re.compile(r"[0-9A-Z]{1,26}", re.ASCII)
_AFTER_EVERY_DIGIT = "~"
_SHOWN_MATCHES = 5
_SHOW_ALL = "localprompt runs list"


class HistoryStats(msgspec.Struct, frozen=True):
    """What the history holds and how much room it takes."""

    path: str
    schema_version: int
    runs: int
    runs_by_kind: dict[str, int]
    machines: int
    first_created_at: str | None
    last_created_at: str | None
    file_bytes: int
    """On disk, SQLite's write-ahead log included."""
    record_bytes: int
    """Of that, the records' JSON."""
    sample_bytes: int
    """Of that, the raw samples."""


class HistoryReader:
    """An open history; close it, or use it as a context manager.

    Args:
        path: the database; by default ``history.db`` in ``$LOCALPROMPT_HOME``.
        busy_seconds: how long to wait where another process stands in the way.

    Raises:
        HistoryError: it is there but cannot be read; any method may raise it as well.
    """

    def __init__(self, path: Path | None = None, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = paths.history_path() if path is None else path
        self._open = ExitStack()
        with explained(self.path):
            there = self.path.exists()
        self._connection = self._open.enter_context(
            open_history(self.path, busy_seconds) if there else empty_history()
        )

    def resolve(self, reference: str, *, kind: Kind | None = None) -> str:
        """The id that ``reference`` names.

        Args:
            reference: an id, the beginning of one (in either case), ``last`` or ``last~N``.
            kind: count only runs of this kind for ``last`` and ``last~N``.

        Raises:
            UnknownNameError: no run, or more than one, is called so.
        """
        name = reference.strip()
        with explained(self.path):
            if match := _LAST.fullmatch(name):
                return self._nth_last(int(match[1] or 0), reference, kind)
            return self._by_prefix(name.upper(), reference)

    def newest(self) -> str | None:
        """The id of what was begun last: a run, or what has no runs of its own (an evaluation, a
        measurement of quality, a tuning). None: nothing is recorded."""
        with explained(self.path):
            (newest,) = self._one(
                "SELECT max(id) FROM (SELECT max(id) AS id FROM runs UNION ALL SELECT max(id)"
                " FROM experiments WHERE kind IN ('eval', 'quality', 'tune', 'improve'))"
            )
        return None if newest is None else str(newest)

    def get(self, reference: str, *, kind: Kind | None = None) -> RunRecord:
        """The run that ``reference`` names; see :meth:`resolve`."""
        run_id = self.resolve(reference, kind=kind)
        with explained(self.path):
            row = self._one("SELECT id, record FROM runs WHERE id = ?", run_id)
        return self._decode(*row)

    def runs(
        self,
        *,
        kind: Kind | None = None,
        model: str | None = None,
        prompt: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
        oldest_first: bool = False,
    ) -> Iterator[RunRecord]:
        """Runs that meet every condition given, newest first, read one by one.

        Args:
            model: the model's name, exactly.
            prompt: the prompt's name, exactly; prompts typed in place have none.
            since: runs that were made at this time or later, to the second.
            limit: at most so many.
        """
        conditions = {
            "kind = ?": kind,
            "model_name = ?": None if model is None else json.well_formed(model),
            "prompt_name = ?": None if prompt is None else json.well_formed(prompt),
            "created_at >= ?": None if since is None else comparable(since),
        }
        given = {sql: value for sql, value in conditions.items() if value is not None}
        where = f"WHERE {' AND '.join(given)}" if given else ""
        order = "ASC" if oldest_first else "DESC"
        query = f"SELECT id, record FROM runs {where} ORDER BY id {order} LIMIT ?"  # noqa: S608
        with explained(self.path):
            for row in self._connection.execute(
                query, (*given.values(), -1 if limit is None else limit)
            ):
                yield self._decode(*row)

    def samples(self, run_id: str) -> Samples | None:
        """The raw times of a run; None where none were kept.

        Args:
            run_id: a whole id, as :meth:`resolve` gives it.
        """
        with explained(self.path):
            series = {
                name: unpack(seconds)
                for name, seconds in self._connection.execute(
                    "SELECT series, seconds FROM samples WHERE run_id = ?", (run_id,)
                )
            }
        return msgspec.convert(series, Samples) if series else None

    def stats(self) -> HistoryStats:
        with explained(self.path):
            runs, first, last, record_bytes = self._one(
                "SELECT count(*), min(created_at), max(created_at),"
                " ifnull(sum(length(CAST(record AS BLOB))), 0) FROM runs"
            )
            by_kind = self._connection.execute(
                "SELECT kind, count(*) FROM runs GROUP BY kind ORDER BY kind"
            ).fetchall()
            return HistoryStats(
                path=str(self.path),
                schema_version=schema.schema_version(self._connection) or 0,
                runs=runs,
                runs_by_kind=dict(by_kind),
                machines=self._one("SELECT count(*) FROM machines")[0],
                first_created_at=first,
                last_created_at=last,
                file_bytes=file_bytes(self.path),
                record_bytes=record_bytes,
                sample_bytes=self._one("SELECT ifnull(sum(length(seconds)), 0) FROM samples")[0],
            )

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _nth_last(self, n: int, reference: str, kind: Kind | None) -> str:
        where, values = ("", ()) if kind is None else ("WHERE kind = ?", (kind,))
        row = self._one(
            f"SELECT id FROM runs {where} ORDER BY id DESC LIMIT 1 OFFSET ?",  # noqa: S608
            *values,
            n,
        )
        if row is not None:
            return str(row[0])
        (runs,) = self._one(f"SELECT count(*) FROM runs {where}", *values)  # noqa: S608
        what = "run" if kind is None else f"{kind} run"
        if not runs:
            raise UnknownNameError(
                f"there is no {reference!r}: no {what} is recorded yet",
                where=str(self.path),
                next_step='localprompt ask "Name three colours."' if kind is None else _SHOW_ALL,
            )
        raise UnknownNameError(
            f"there is no {reference!r}: {runs} {what}{'s are' if runs > 1 else ' is'} recorded",
            nearest=("last",) if runs == 1 else ("last", f"last~{runs - 1}"),
            next_step=_SHOW_ALL,
        )

    def _by_prefix(self, prefix: str, reference: str) -> str:
        found: list[str] = []
        if _ID_PREFIX.fullmatch(prefix):
            rows = self._connection.execute(
                "SELECT id FROM runs WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ?",
                (prefix, prefix + _AFTER_EVERY_DIGIT, _SHOWN_MATCHES),
            )
            found = [run_id for (run_id,) in rows]
        if len(found) == 1 or prefix in found:
            return prefix if prefix in found else found[0]
        if found:
            raise UnknownNameError(
                f"more than one run begins with {reference!r}",
                nearest=tuple(found),
                next_step="type more of the id",
            )
        raise UnknownNameError(f"no run is called {reference!r}", next_step=_SHOW_ALL)

    def _one(self, query: str, *values: object) -> Any:
        return self._connection.execute(query, values).fetchone()

    def _decode(self, run_id: str, record: str) -> RunRecord:
        try:
            return json.decode(record)
        except msgspec.DecodeError as error:
            raise HistoryError(
                "the record of a run cannot be read",
                where=f"{self.path}, run {run_id}",
                found=str(error),
                next_step="if a newer localprompt wrote it, update; otherwise delete that row",
            ) from error


def file_bytes(path: Path) -> int:
    """What the database takes on disk: the file and its write-ahead log."""
    return sum(
        part.stat().st_size for part in (path, path.with_name(f"{path.name}-wal")) if part.exists()
    )
