"""Finding benches again, with their runs and failures.

    with ExperimentReader() as history:
        experiment = history.experiment("last")
        runs = history.runs_of(experiment.id)

An experiment is named as a run is: by its id, the beginning of it, ``last`` or ``last~2``; here
``last`` counts benches. Evaluations are found by :mod:`localprompt.store.evaluations`.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import msgspec

from localprompt import paths
from localprompt.errors import HistoryError, UnknownNameError
from localprompt.records import json
from localprompt.records.bench import CellFailure, Experiment
from localprompt.records.improvement import Improvement
from localprompt.records.quality import Quality
from localprompt.records.run import RunRecord, Samples
from localprompt.records.training import TrainingResult
from localprompt.records.tuning import Tuning
from localprompt.store.connection import (
    BUSY_SECONDS,
    empty_history,
    explained,
    open_history,
    transaction,
    unpack,
)
from localprompt.store.reader import HistoryReader

_LAST = re.compile(r"last(?:~(\d{1,9}))?", re.ASCII)
_ID_PREFIX = re.compile(r"[0-9A-Z]{1,26}", re.ASCII)
_SHOWN = 5
_TOKENS = "token_seconds"


class ExperimentReader(HistoryReader):
    """An open history, for reading its experiments as well."""

    def experiment(self, reference: str) -> Experiment:
        """The experiment that ``reference`` names.

        Raises:
            UnknownNameError: none, or more than one, is called so.
            HistoryError: it cannot be read.
        """
        name = reference.strip()
        match = _LAST.fullmatch(name)
        with explained(self.path):
            found = self._nth_last_experiment(int(match[1] or 0)) if match else self._by_id(name)
        if len(found) > 1:
            raise UnknownNameError(
                f"more than one bench begins with {reference!r}",
                nearest=tuple(experiment_id for experiment_id, _ in found),
                next_step="type more of the id",
            )
        if not found:
            raise UnknownNameError(
                f"there is no bench {reference!r}",
                where=str(self.path),
                nearest=tuple(experiment.id for experiment in self.experiments(limit=_SHOWN)),
                next_step="localprompt bench summarize -p text=@notes.txt",
            )
        return self._decoded(*found[0])

    def experiments(self, *, limit: int | None = None) -> list[Experiment]:
        """Newest first."""
        with explained(self.path):
            rows = self._connection.execute(
                "SELECT id, record FROM experiments WHERE kind = 'bench' ORDER BY id DESC LIMIT ?",
                (-1 if limit is None else limit,),
            ).fetchall()
        return [self._decoded(*row) for row in rows]

    def runs_of(self, experiment_id: str) -> list[tuple[RunRecord, Samples]]:
        """Its runs with their raw times, in the order in which they were made."""
        query = """
            SELECT runs.id, runs.record, samples.seconds FROM results
            JOIN runs ON runs.id = results.run_id
            LEFT JOIN samples ON samples.run_id = runs.id AND samples.series = ?
            WHERE results.experiment_id = ? ORDER BY runs.id"""
        with explained(self.path):
            rows = self._connection.execute(query, (_TOKENS, experiment_id)).fetchall()
        return [
            (self._decode(run_id, record), Samples(unpack(seconds) if seconds else ()))
            for run_id, record, seconds in rows
        ]

    def failures_of(self, experiment_id: str) -> list[CellFailure]:
        """What kept cells from running, in the order in which it happened."""
        query = """
            SELECT cell_key, created_at, failure FROM results
            WHERE experiment_id = ? AND failure IS NOT NULL ORDER BY rowid"""
        with explained(self.path):
            rows = self._connection.execute(query, (experiment_id,)).fetchall()
        return [CellFailure(experiment_id, *row) for row in rows]

    def earlier_runs(self, model_sha256: str, machine_id: str, limit: int = 20) -> list[RunRecord]:
        """The latest runs of these weights on this machine: what an estimate can rest on."""
        query = """
            SELECT id, record FROM runs WHERE model_sha256 = ? AND machine_id = ?
            ORDER BY id DESC LIMIT ?"""
        with explained(self.path):
            rows = self._connection.execute(query, (model_sha256, machine_id, limit)).fetchall()
        return [self._decode(*row) for row in rows]

    def _nth_last_experiment(self, n: int) -> list[tuple[str, str]]:
        return self._connection.execute(
            "SELECT id, record FROM experiments WHERE kind = 'bench'"
            " ORDER BY id DESC LIMIT 1 OFFSET ?",
            (n,),
        ).fetchall()

    def _by_id(self, name: str) -> list[tuple[str, str]]:
        prefix = name.upper()
        if not _ID_PREFIX.fullmatch(prefix):
            return []
        return self._connection.execute(
            "SELECT id, record FROM experiments"
            " WHERE kind = 'bench' AND id >= ? AND id < ? LIMIT ?",
            (prefix, prefix + "~", _SHOWN),
        ).fetchall()

    def _decoded(self, experiment_id: str, record: str) -> Experiment:
        try:
            return msgspec.json.decode(record, type=Experiment)
        except msgspec.DecodeError as error:
            raise HistoryError(
                "the record of a bench cannot be read",
                where=f"{self.path}, experiment {experiment_id}",
                found=str(error),
                next_step="if a newer localprompt wrote it, update",
            ) from error


_KEEP = """
INSERT INTO experiments (id, record) VALUES (?, ?)
ON CONFLICT (id) DO UPDATE SET record = excluded.record"""
_NEWEST = "SELECT max(id) FROM experiments WHERE kind = 'improve' HAVING max(id) IS NOT NULL"
_KEPT = """
SELECT kind, record FROM experiments
WHERE kind IN ('quality', 'tune', 'improve') AND substr(id, 1, length(?1)) = ?1 LIMIT 2"""


class TuningStore:
    """An open history; close it, or use it as a context manager.

    Args:
        path: the database; by default ``history.db`` in ``$LOCALPROMPT_HOME``.
        read_only: a history that does not exist is then an empty one and is not made.

    Raises:
        HistoryError: it cannot be opened; any method may raise it as well.
    """

    def __init__(self, path: Path | None = None, *, read_only: bool = False) -> None:
        self.path = paths.history_path() if path is None else path
        self._open = ExitStack()
        with explained(self.path):
            empty = read_only and not self.path.exists()
        self._connection = self._open.enter_context(
            empty_history() if empty else open_history(self.path, BUSY_SECONDS)
        )

    def keep(self, record: Quality | Tuning | Improvement) -> None:
        """Add a record, or put it in the place of the one with its id."""
        with explained(self.path), transaction(self._connection):
            self._connection.execute(_KEEP, (record.id, json.encode(record).decode()))

    def kept(self, reference: str) -> Quality | Tuning | Improvement | None:
        """The record whose id begins so; None: there is none, or more than one."""
        name = reference.strip().upper()
        with explained(self.path):
            rows = self._connection.execute(_KEPT, (name,)).fetchall() if name else []
        if len(rows) != 1:
            return None
        kind, record = rows[0]
        try:
            if kind == "quality":
                return msgspec.json.decode(record, type=Quality)
            if kind == "improve":
                return msgspec.json.decode(record, type=Improvement)
            return msgspec.json.decode(record, type=Tuning)
        except msgspec.DecodeError as error:
            raise HistoryError(
                f"the record of kind {kind!r} cannot be read",
                where=str(self.path),
                found=str(error),
                next_step="if a newer localprompt wrote it, update",
            ) from error

    def improvement(self, reference: str) -> Improvement:
        """The search that ``reference`` names; ``last`` is the newest.

        Raises:
            UnknownNameError: none, or more than one, is called so.
        """
        name = reference.strip()
        if name == "last":
            with explained(self.path):
                row = self._connection.execute(_NEWEST).fetchone()
            name = "" if row is None else str(row[0])
        found = self.kept(name)
        if not isinstance(found, Improvement):
            raise UnknownNameError(
                f"there is no search {reference!r}",
                where=str(self.path),
                next_step="localprompt improve PROMPT --cases FILE",
            )
        return found

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class TrainingStore:
    """An open history, for trainings; close it, or use it as a context manager.

    Args:
        path: the database; by default ``history.db`` in ``$LOCALPROMPT_HOME``.

    Raises:
        HistoryError: it cannot be opened or made.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = paths.history_path() if path is None else path
        self._open = ExitStack()
        self._connection = self._open.enter_context(open_history(self.path, BUSY_SECONDS))

    def record(self, result: TrainingResult) -> None:
        """Add a training.

        Raises:
            HistoryError: it was not stored.
        """
        with explained(self.path), transaction(self._connection):
            self._connection.execute(
                "INSERT INTO experiments (id, record) VALUES (?, ?)",
                (result.id, json.encode(result).decode()),
            )

    def trainings(self, *, limit: int | None = None) -> list[TrainingResult]:
        """Newest first.

        Raises:
            HistoryError: one cannot be read.
        """
        query = "SELECT record FROM experiments WHERE kind = 'finetune' ORDER BY id DESC LIMIT ?"
        with explained(self.path):
            rows = self._connection.execute(query, (-1 if limit is None else limit,)).fetchall()
        return [self._decoded(record) for (record,) in rows]

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decoded(self, record: str) -> TrainingResult:
        try:
            return msgspec.json.decode(record, type=TrainingResult)
        except msgspec.DecodeError as error:
            raise HistoryError(
                "the record of a training cannot be read",
                where=str(self.path),
                found=str(error),
                next_step="if a newer localprompt wrote it, update",
            ) from error
