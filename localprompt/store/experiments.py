"""Keeping what is more than one run, and finding it again.

An experiment is a record of its own: a bench, whose plan is stored before anything runs and whose
repetitions are runs; an evaluation (:mod:`localprompt.store.evaluations`); and what has no rows
beside its record, as a tuning or a measurement of quality.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

from localprompt.errors import HistoryError
from localprompt.records import json
from localprompt.records.bench import CellFailure, Experiment
from localprompt.records.choice import Choice
from localprompt.records.evaluation import Evaluation
from localprompt.records.improvement import Improvement
from localprompt.records.quality import Quality
from localprompt.records.run import RunRecord, Samples
from localprompt.records.training import TrainingResult
from localprompt.records.tuning import Tuning
from localprompt.store.connection import explained, transaction, unpack
from localprompt.store.runs import Runs
from localprompt.store.search import EVERYTHING, Filter, experiments_where

_TOKENS = "token_seconds"
_ADD_FAILURE = """
INSERT INTO results (experiment_id, cell_key, failure, created_at) VALUES (?, ?, ?, ?)"""
_KEEP = """
INSERT INTO experiments (id, record) VALUES (?, ?)
ON CONFLICT (id) DO UPDATE SET record = excluded.record"""

_LIST = """
SELECT id, kind, created_at, title, record FROM experiments
WHERE kind IN ({marks}) AND {condition} ORDER BY id DESC LIMIT ?"""

Kept = Quality | Tuning | TrainingResult | Improvement | Choice
_TYPES: dict[str, type[Kept]] = {
    "quality": Quality,
    "tune": Tuning,
    "finetune": TrainingResult,
    "improve": Improvement,
    "choose": Choice,
}
Record = TypeVar("Record", bound=msgspec.Struct)


class Listed(msgspec.Struct, frozen=True):
    """A line of a list of experiments."""

    id: str
    kind: str
    created_at: str
    title: str
    done: int | None = None
    """Results of an evaluation that are there; None: it is not one."""
    planned: int | None = None

    @property
    def under_way(self) -> bool:
        """Not all of its results are there: it is running, or was cut off."""
        return self.done is not None and self.planned is not None and self.done < self.planned


class Experiments(Runs):
    """The experiments of an open history."""

    def begin(self, experiment: Experiment | Evaluation) -> None:
        """Add an experiment, before the first of its runs or results.

        Raises:
            HistoryError: it was not stored.
        """
        with explained(self.path), transaction(self._connection):
            self._connection.execute(
                "INSERT INTO experiments (id, record) VALUES (?, ?)",
                (experiment.id, json.encode(experiment).decode()),
            )

    def fail(self, failure: CellFailure) -> None:
        """Add what kept a cell of a bench from running.

        Raises:
            HistoryError: it was not stored.
        """
        row = (failure.experiment_id, failure.cell, failure.cause, failure.created_at)
        with explained(self.path), transaction(self._connection):
            self._connection.execute(_ADD_FAILURE, row)

    def keep(self, record: Kept) -> None:
        """Add a record, or put it in the place of the one with its id.

        Raises:
            HistoryError: it was not stored.
        """
        with explained(self.path), transaction(self._connection):
            self._connection.execute(_KEEP, (record.id, json.encode(record).decode()))

    def bench(self, reference: str) -> Experiment:
        """The bench that ``reference`` means.

        Raises:
            UnknownNameError: none, or more than one, is called so.
            HistoryError: it cannot be read.
        """
        return self._experiment(self.find(reference, ("bench",)).id, Experiment)

    def benches(self, *, limit: int | None = None) -> list[Experiment]:
        """Newest first."""
        with explained(self.path):
            rows = self._connection.execute(
                "SELECT id, record FROM experiments WHERE kind = 'bench' ORDER BY id DESC LIMIT ?",
                (-1 if limit is None else limit,),
            ).fetchall()
        return [self._decoded(id_, record, Experiment) for id_, record in rows]

    def improvement(self, reference: str) -> Improvement:
        """The search for a better prompt that ``reference`` means.

        Raises:
            UnknownNameError: none, or more than one, is called so.
            HistoryError: it cannot be read.
        """
        return self._experiment(self.find(reference, ("improve",)).id, Improvement)

    def choice(self, reference: str) -> Choice:
        """The choice among models that ``reference`` means.

        Raises:
            UnknownNameError: none, or more than one, is called so.
            HistoryError: it cannot be read.
        """
        return self._experiment(self.find(reference, ("choose",)).id, Choice)

    def listed(
        self, kinds: Sequence[str], where: Filter = EVERYTHING, *, limit: int
    ) -> list[Listed]:
        """The newest experiments of these kinds that meet every condition, newest first. A record
        that cannot be read is listed as well."""
        count = "SELECT count(*) FROM eval_results WHERE experiment_id = ?"
        found = []
        with explained(self.path):
            condition, values = experiments_where(where, self._connection)
            query = _LIST.format(marks=", ".join("?" * len(kinds)), condition=condition)
            rows = self._connection.execute(query, (*kinds, *values, limit))
            for id_, kind, created_at, title, record in rows.fetchall():
                done = planned = None
                if kind == "eval":
                    done = int(self._one(count, id_)[0])
                    with suppress(HistoryError):
                        planned = self._decoded(id_, record, Evaluation).results
                found.append(Listed(id_, kind, created_at, title, done, planned))
        return found

    def kept(self, experiment_id: str, kind: str) -> Kept:
        """A record that stands for itself, as :meth:`find` found it.

        Raises:
            HistoryError: it cannot be read.
        """
        return self._experiment(experiment_id, _TYPES[kind])

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
            (self._decode(run_id, record), Samples(unpack(seconds, self.path) if seconds else ()))
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

    def tag(self, thing_id: str, tags: Iterable[str], *, remove: bool = False) -> None:
        """Give something tags, or take them away; what is there already is no error.

        Raises:
            HistoryError: they were not stored.
        """
        change = (
            "DELETE FROM tags WHERE id = ? AND tag = ?"
            if remove
            else "INSERT OR IGNORE INTO tags (id, tag) VALUES (?, ?)"
        )
        with explained(self.path), transaction(self._connection):
            self._connection.executemany(change, [(thing_id, tag) for tag in tags])

    def tags_of(self, thing_id: str) -> tuple[str, ...]:
        """Sorted."""
        with explained(self.path):
            rows = self._connection.execute(
                "SELECT tag FROM tags WHERE id = ? ORDER BY tag", (thing_id,)
            ).fetchall()
        return tuple(tag for (tag,) in rows)

    def _experiment(self, experiment_id: str, what: type[Record]) -> Record:
        with explained(self.path):
            (record,) = self._one("SELECT record FROM experiments WHERE id = ?", experiment_id)
        return self._decoded(experiment_id, str(record), what)
