"""Adding runs to the history: one transaction each.

A run is there with all its parts or not at all. Whatever ends the process (``kill -9`` included),
what was recorded before stays; two processes that write at once wait for each other and lose
nothing.

    with HistoryWriter() as history:
        history.record(run, samples)

Opening takes a few milliseconds at most, more only when the database is new.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

import msgspec

from localprompt import paths
from localprompt.records import json
from localprompt.records.bench import CellFailure, Experiment
from localprompt.records.run import Machine, RunRecord, Samples
from localprompt.store.connection import BUSY_SECONDS, explained, open_history, pack, transaction

_ADD_MACHINE = """
INSERT INTO machines (id, cpu, physical_cores, logical_cores, usable_cores, memory_bytes, os)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"""
_ADD_RESULT = """
INSERT INTO results (experiment_id, cell_key, phase, repetition, run_id, created_at)
VALUES (?, ?, ?, ?, ?, ?)"""
_ADD_FAILURE = """
INSERT INTO results (experiment_id, cell_key, failure, created_at) VALUES (?, ?, ?, ?)"""


class HistoryWriter:
    """An open history that runs can be added to; close it, or use it as a context manager.

    Args:
        path: the database; by default ``history.db`` in ``$LOCALPROMPT_HOME``.
        busy_seconds: how long to wait for other processes that are writing.

    Raises:
        HistoryError: it cannot be opened or made (locked, damaged, not writable, disk full, …).
    """

    def __init__(self, path: Path | None = None, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = paths.history_path() if path is None else path
        self._open = ExitStack()
        self._connection = self._open.enter_context(open_history(self.path, busy_seconds))

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

    def begin(self, experiment: Experiment) -> None:
        """Add an experiment, before the first of its runs.

        Raises:
            HistoryError: it was not stored.
        """
        with explained(self.path), transaction(self._connection):
            self._connection.execute(
                "INSERT INTO experiments (id, record) VALUES (?, ?)",
                (experiment.id, json.encode(experiment).decode()),
            )

    def fail(self, failure: CellFailure) -> None:
        """Add what kept a cell of an experiment from running.

        Raises:
            HistoryError: it was not stored.
        """
        row = (failure.experiment_id, failure.cell, failure.cause, failure.created_at)
        with explained(self.path), transaction(self._connection):
            self._connection.execute(_ADD_FAILURE, row)

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
