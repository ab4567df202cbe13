"""Keeping the results of evaluations and finding them again.

    with History() as history:
        history.begin(evaluation)
        history.add(evaluation.id, results)          # one transaction: all of them or none
        for result in history.results(evaluation.id): ...

Results are streamed in both directions, so that an evaluation of any size takes no more memory
than a few of its cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from localprompt.records import json
from localprompt.records.evaluation import CaseResult, Evaluation
from localprompt.records.model_use import ModelUse
from localprompt.store.connection import explained, transaction
from localprompt.store.experiments import Experiments

_ADD = """
INSERT OR REPLACE INTO eval_results (experiment_id, target, case_index, repetition, record)
VALUES (?, ?, ?, ?, ?)"""
_ADD_USE = "INSERT INTO eval_model_uses (experiment_id, record) VALUES (?, ?)"


class Evaluations(Experiments):
    """The evaluations of an open history."""

    def add(self, evaluation_id: str, results: Iterable[CaseResult]) -> None:
        """Add results, or put them in the place of those that are there; all or none."""
        rows = [_row(evaluation_id, result) for result in results]
        with explained(self.path), transaction(self._connection):
            self._connection.executemany(_ADD, rows)

    def adopt(
        self, evaluation: Evaluation, results: Iterable[CaseResult], uses: Iterable[ModelUse]
    ) -> None:
        """Add an evaluation that was made elsewhere with all that belongs to it; all or nothing,
        also where reading the results fails. Others who write wait meanwhile."""
        with explained(self.path), transaction(self._connection):
            self._connection.execute(
                "INSERT INTO experiments (id, record) VALUES (?, ?)",
                (evaluation.id, json.encode(evaluation).decode()),
            )
            self._connection.executemany(_ADD, (_row(evaluation.id, one) for one in results))
            rows = ((evaluation.id, json.encode(use).decode()) for use in uses)
            self._connection.executemany(_ADD_USE, rows)

    def add_use(self, evaluation_id: str, use: ModelUse) -> None:
        """Add what a model took."""
        with explained(self.path), transaction(self._connection):
            self._connection.execute(_ADD_USE, (evaluation_id, json.encode(use).decode()))

    def evaluation(self, reference: str) -> Evaluation:
        """The evaluation that ``reference`` means.

        Raises:
            UnknownNameError: none, or more than one, is called so.
            HistoryError: it cannot be read.
        """
        return self._experiment(self.find(reference, ("eval",)).id, Evaluation)

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
                yield self._decoded(evaluation_id, record, CaseResult)

    def results_of_case(self, evaluation_id: str, case_index: int) -> list[CaseResult]:
        """All results of one case, in the order of repetitions and targets."""
        query = """
            SELECT record FROM eval_results WHERE experiment_id = ? AND case_index = ?
            ORDER BY repetition, target"""
        with explained(self.path):
            rows = self._connection.execute(query, (evaluation_id, case_index)).fetchall()
        return [self._decoded(evaluation_id, record, CaseResult) for (record,) in rows]

    def case_ids(self, evaluation_id: str, limit: int) -> list[str]:
        """The ids of its first cases, in the order of the suite."""
        query = """
            SELECT case_id FROM eval_results WHERE experiment_id = ?
            GROUP BY case_index ORDER BY case_index LIMIT ?"""
        with explained(self.path):
            return [row[0] for row in self._connection.execute(query, (evaluation_id, limit))]

    def case_history(
        self, suite_path: str, case_id: str, *, limit: int
    ) -> list[tuple[Evaluation, CaseResult]]:
        """What the newest evaluations of a suite's file made of a case, newest first."""
        query = """
            SELECT id, record FROM experiments
            WHERE kind = 'eval' AND json_extract(record, '$.path') = ? ORDER BY id DESC LIMIT ?"""
        of_case = """
            SELECT record FROM eval_results WHERE experiment_id = ? AND case_id = ?
            ORDER BY target, repetition"""
        found = []
        with explained(self.path):
            for id_, record in self._connection.execute(query, (suite_path, limit)).fetchall():
                evaluation = self._decoded(id_, record, Evaluation)
                for (result,) in self._connection.execute(of_case, (id_, case_id)):
                    found.append((evaluation, self._decoded(id_, result, CaseResult)))
        return found

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
        return None if row is None else self._decoded(answer_key, row[0], CaseResult)

    def uses(self, evaluation_id: str) -> list[ModelUse]:
        """What the models took, in the order in which they were used."""
        query = "SELECT record FROM eval_model_uses WHERE experiment_id = ? ORDER BY rowid"
        with explained(self.path):
            rows = self._connection.execute(query, (evaluation_id,)).fetchall()
        return [self._decoded(evaluation_id, record, ModelUse) for (record,) in rows]


def _row(evaluation_id: str, result: CaseResult) -> tuple[str, int, int, int, str]:
    """What :data:`_ADD` takes."""
    place = result.target, result.case_index, result.repetition
    return evaluation_id, *place, json.encode(result).decode()
