"""Adding runs and finding them again.

A run is there with all its parts or not at all. Whatever ends the process (``kill -9`` included),
what was recorded before stays; two processes that write at once wait for each other and lose
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from localprompt.errors import HistoryError
from localprompt.records import json
from localprompt.records.run import Machine, RunRecord, Samples
from localprompt.store import schema
from localprompt.store.connection import explained, pack, transaction, unpack
from localprompt.store.finding import RUNS, OpenHistory
from localprompt.store.search import EVERYTHING, Filter, runs_where

_ADD_MACHINE = """
INSERT INTO machines (id, cpu, physical_cores, logical_cores, usable_cores, memory_bytes, os)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"""
_ADD_RESULT = """
INSERT INTO results (experiment_id, cell_key, phase, repetition, run_id, created_at)
VALUES (?, ?, ?, ?, ?, ?)"""


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


class Runs(OpenHistory):
    """The runs of an open history."""

    def record(self, run: RunRecord, samples: Samples | None = None) -> None:
        """Add a run with its raw samples; a bench's run is put in its place there as well. When
        this returns, all of it is stored.

        Raises:
            HistoryError: it was not stored, nothing of it; also when a run of that id is there,
                or one in the same place of its bench.
        """
        with explained(self.path), transaction(self._connection):
            self._connection.execute(_ADD_MACHINE, _identity(run.machine))
            self._connection.execute(
                "INSERT INTO runs (id, record) VALUES (?, ?)",
                (run.id, json.encode(run).decode()),
            )
            if samples is not None:
                self._connection.executemany(
                    "INSERT INTO samples (run_id, series, seconds) VALUES (?, ?, ?)",
                    [
                        (run.id, series, pack(seconds))
                        for series, seconds in msgspec.structs.asdict(samples).items()
                    ],
                )
            if (place := run.bench) is not None:
                self._connection.execute(
                    _ADD_RESULT,
                    (
                        place.experiment_id,
                        place.cell,
                        place.phase,
                        place.repetition,
                        run.id,
                        run.created_at,
                    ),
                )

    def get(self, reference: str) -> RunRecord:
        """The run that ``reference`` means; see :meth:`find`."""
        return self.run(self.find(reference, RUNS).id)

    def run(self, run_id: str) -> RunRecord:
        """The run with this whole id, which is there."""
        with explained(self.path):
            row = self._one("SELECT id, record FROM runs WHERE id = ?", run_id)
        return self._decode(*row)

    def runs(
        self,
        where: Filter = EVERYTHING,
        *,
        limit: int | None = None,
        oldest_first: bool = False,
        unreadable: Callable[[HistoryError], None] | None = None,
    ) -> Iterator[RunRecord]:
        """The newest runs that meet every condition, newest first, read one by one.

        Args:
            limit: at most so many, the newest.
            oldest_first: these, in the order in which they were made.
            unreadable: told of a record that cannot be read, and the rest goes on; None: that
                is an error.

        Raises:
            InputError: what is searched for is not a regular expression.
        """
        order = "ORDER BY id DESC LIMIT ?"
        with explained(self.path):
            condition, values = runs_where(where, self._connection)
            query = f"SELECT id, record FROM runs WHERE {condition} {order}"  # noqa: S608
            if oldest_first:
                query = f"SELECT id, record FROM ({query}) ORDER BY id"  # noqa: S608
            rows = self._connection.execute(query, (*values, -1 if limit is None else limit))
            for row in rows:
                try:
                    record = self._decode(*row)
                except HistoryError as error:
                    if unreadable is None:
                        raise
                    unreadable(error)
                else:
                    yield record

    def turns(self, limit: int) -> list[tuple[str, str | None]]:
        """The ids of the latest turns of chats, newest first, each with that of the run whose
        answer it goes on from; None: it is a first turn."""
        query = """
            SELECT id, json_extract(record, '$.conversation.turns[#-1]') FROM runs
            WHERE kind = 'chat' ORDER BY id DESC LIMIT ?"""
        with explained(self.path):
            return self._connection.execute(query, (limit,)).fetchall()

    def samples(self, run_id: str) -> Samples | None:
        """The raw times of a run; None where none were kept.

        Args:
            run_id: a whole id, as :meth:`find` gives it.
        """
        with explained(self.path):
            series = {
                name: unpack(seconds, self.path)
                for name, seconds in self._connection.execute(
                    "SELECT series, seconds FROM samples WHERE run_id = ?", (run_id,)
                )
            }
        known = {name: series[name] for name in Samples.__struct_fields__ if name in series}
        return msgspec.convert(known, Samples) if known else None

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


def _identity(machine: Machine) -> tuple[str | float | None, ...]:
    """What tells machines apart, in the order of the table; the rest differs from run to run."""
    return (
        machine.id,
        machine.cpu,
        machine.physical_cores,
        machine.logical_cores,
        machine.usable_cores,
        machine.memory_bytes,
        machine.os,
    )


def file_bytes(path: Path) -> int:
    """What the database takes on disk: the file and its write-ahead log."""
    return sum(
        part.stat().st_size for part in (path, path.with_name(f"{path.name}-wal")) if part.exists()
    )
