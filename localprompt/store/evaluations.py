"""Keeping evaluations and finding them again.

    with EvaluationStore() as store:
        store.begin(evaluation)
        store.add(evaluation.id, results)          # one transaction: all of them or none
        for result in store.results(evaluation.id): ...

Results are streamed in both directions, so that an evaluation of any size takes no more memory
than a few of its cases. An evaluation is named as a run is (its id, the beginning of it, ``last``
or ``last~2``), where ``last`` counts evaluations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from localprompt import paths
from localprompt.errors import HistoryError, UnknownNameError
from localprompt.records import json
from localprompt.records.evaluation import CaseResult, Evaluation, ModelUse
from localprompt.store.connection import (
    BUSY_SECONDS,
    empty_history,
    explained,
    open_history,
    transaction,
)

_LAST = re.compile(r"last(?:~(\d{1,9}))?", re.ASCII)
_ID_PREFIX = re.compile(r"[0-9A-Z]{1,26}", re.ASCII)
_SHOWN = 5
_ADD = """
INSERT OR REPLACE INTO eval_results (experiment_id, target, case_index, repetition, record)
VALUES (?, ?, ?, ?, ?)"""

T = TypeVar("T", bound=msgspec.Struct)


class EvaluationStore:
    """The evaluations of an open history; close it, or use it as a context manager.

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

    # ---- writing

    def begin(self, evaluation: Evaluation) -> None:
        """Add an evaluation, before the first of its results."""
        with explained(self.path), transaction(self._connection):
            self._connection.execute(
                "INSERT INTO experiments (id, record) VALUES (?, ?)",
                (evaluation.id, json.encode(evaluation).decode()),
            )

    def add(self, evaluation_id: str, results: Iterable[CaseResult]) -> None:
        """Add results, or put them in the place of those that are there; all or none."""
        rows = [
            (
                evaluation_id,
                result.target,
                result.case_index,
                result.repetition,
                json.encode(result).decode(),
            )
            for result in results
        ]
        with explained(self.path), transaction(self._connection):
            self._connection.executemany(_ADD, rows)

    def add_use(self, evaluation_id: str, use: ModelUse) -> None:
        """Add what a model took."""
        with explained(self.path), transaction(self._connection):
            self._connection.execute(
                "INSERT INTO eval_model_uses (experiment_id, record) VALUES (?, ?)",
                (evaluation_id, json.encode(use).decode()),
            )

    # ---- reading

    def evaluation(self, reference: str) -> Evaluation:
        """The evaluation that ``reference`` names.

        Raises:
            UnknownNameError: none, or more than one, is called so.
        """
        name = reference.strip()
        rows = self._named(name, "AND kind = 'eval'")
        if len(rows) > 1:
            raise UnknownNameError(
                f"more than one evaluation begins with {reference!r}",
                nearest=tuple(row[0] for row in rows),
                next_step="type more of the id",
            )
        if not rows:
            raise UnknownNameError(
                f"there is no evaluation {reference!r}",
                where=str(self.path),
                nearest=tuple(row[0] for row in self._latest()),
                next_step="localprompt eval SUITE",
            )
        return self._decoded(rows[0][1], Evaluation)

    def kind_of(self, reference: str) -> str | None:
        """The kind of the experiment (``bench``, ``eval``) that ``reference`` names; ``last``
        counts experiments of all kinds. None: there is none, or more than one."""
        rows = self._named(reference.strip(), "")
        if len(rows) != 1:
            return None
        with explained(self.path):
            query = "SELECT kind FROM experiments WHERE id = ?"
            return str(self._connection.execute(query, (rows[0][0],)).fetchone()[0])

    def latest_of(self, suite_path: str) -> str | None:
        """The id of the newest evaluation of this suite's file; None: there is none."""
        query = """
            SELECT id FROM experiments
            WHERE kind = 'eval' AND json_extract(record, '$.path') = ? ORDER BY id DESC LIMIT 1"""
        with explained(self.path):
            row = self._connection.execute(query, (suite_path,)).fetchone()
        return None if row is None else str(row[0])

    def results(
        self, evaluation_id: str, *, target: int | None = None, failures: bool = False
    ) -> Iterator[CaseResult]:
        """Results in the order of targets and cases, read one by one.

        Args:
            failures: only those that did not pass: failed, without an answer, or unscored.
        """
        conditions = " AND target = ?" if target is not None else ""
        conditions += " AND passed IS NOT 1" if failures else ""
        values = (evaluation_id,) if target is None else (evaluation_id, target)
        query = (
            f"SELECT record FROM eval_results WHERE experiment_id = ?{conditions}"  # noqa: S608
            " ORDER BY target, case_index, repetition"
        )
        with explained(self.path):
            for (record,) in self._connection.execute(query, values):
                yield self._decoded(record, CaseResult)

    def results_of_case(self, evaluation_id: str, case_index: int) -> list[CaseResult]:
        """All results of one case, in the order of repetitions and targets."""
        query = """
            SELECT record FROM eval_results WHERE experiment_id = ? AND case_index = ?
            ORDER BY repetition, target"""
        with explained(self.path):
            rows = self._connection.execute(query, (evaluation_id, case_index)).fetchall()
        return [self._decoded(record, CaseResult) for (record,) in rows]

    def done(self, evaluation_id: str, target: int) -> set[tuple[int, int]]:
        """Which (case_index, repetition) of a target have a result."""
        query = """
            SELECT case_index, repetition FROM eval_results
            WHERE experiment_id = ? AND target = ?"""
        with explained(self.path):
            return set(self._connection.execute(query, (evaluation_id, target)))

    def failing_ids(self, evaluation_id: str) -> frozenset[str]:
        """The ids of the cases that did not pass everywhere."""
        query = "SELECT case_id FROM eval_results WHERE experiment_id = ? AND passed IS NOT 1"
        with explained(self.path):
            return frozenset(row[0] for row in self._connection.execute(query, (evaluation_id,)))

    def answer(self, answer_key: str) -> CaseResult | None:
        """A result whose answer was made by an equal request, the newest; None: there is none."""
        query = """
            SELECT record FROM eval_results WHERE answer_key = ? AND error IS NULL
            ORDER BY experiment_id DESC LIMIT 1"""
        with explained(self.path):
            row = self._connection.execute(query, (answer_key,)).fetchone()
        return None if row is None else self._decoded(row[0], CaseResult)

    def uses(self, evaluation_id: str) -> list[ModelUse]:
        """What the models took, in the order in which they were used."""
        query = "SELECT record FROM eval_model_uses WHERE experiment_id = ? ORDER BY rowid"
        with explained(self.path):
            rows = self._connection.execute(query, (evaluation_id,)).fetchall()
        return [self._decoded(record, ModelUse) for (record,) in rows]

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _named(self, name: str, condition: str) -> list[tuple[str, str]]:
        match = _LAST.fullmatch(name)
        if match is None and not _ID_PREFIX.fullmatch(name.upper()):
            return []
        order = f"{condition} ORDER BY id DESC LIMIT ? OFFSET ?"
        with explained(self.path):
            if match is not None:
                query = f"SELECT id, record FROM experiments WHERE true {order}"  # noqa: S608
                return self._connection.execute(query, (1, int(match[1] or 0))).fetchall()
            query = f"SELECT id, record FROM experiments WHERE id >= ? AND id < ? {order}"  # noqa: S608
            prefix = name.upper()
            return self._connection.execute(query, (prefix, prefix + "~", _SHOWN, 0)).fetchall()

    def _latest(self) -> list[Any]:
        query = "SELECT id FROM experiments WHERE kind = 'eval' ORDER BY id DESC LIMIT ?"
        with explained(self.path):
            return self._connection.execute(query, (_SHOWN,)).fetchall()

    def _decoded(self, record: str, what: type[T]) -> T:
        try:
            return msgspec.json.decode(record, type=what)
        except msgspec.DecodeError as error:
            raise HistoryError(
                "the record of an evaluation cannot be read",
                where=str(self.path),
                found=str(error),
                next_step="if a newer localprompt wrote it, update",
            ) from error
