"""A stored evaluation → everything that a report says about it.

Linear in the number of results: each is read twice, once for the sums and once for its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import msgspec

from localprompt.evaluate.comparing import (
    compare_evaluations,
    compared_within,
    paired_targets,
)
from localprompt.evaluate.models import OpenEngine
from localprompt.evaluate.received import Received, open_vocabulary
from localprompt.evaluate.summarize import load_result
from localprompt.records.case_matrix import (
    CaseMatrix,
    EvaluationReport,
    MatrixCell,
    MatrixColumn,
    MatrixRow,
)
from localprompt.records.evaluation import CaseResult, Evaluation
from localprompt.store.history import History

MOST_CASES = 5_000
"""Rows that a page can hold and stay quick; the rest is in the exports."""


def load_report(
    evaluation: Evaluation,
    store: History,
    against: Evaluation | None = None,
    *,
    open_engine: OpenEngine = open_vocabulary,
    most_cases: int = MOST_CASES,
) -> EvaluationReport:
    """Read an evaluation with its first cases.

    Args:
        against: an earlier evaluation, whose verdicts and prompts are set beside it.
        open_engine: opens a model far enough to say what it received.
        most_cases: at most so many rows.
    """
    result = load_result(evaluation, store)
    return EvaluationReport(
        result=result,
        matrix=_matrix(evaluation, store, against, open_engine, most_cases),
        comparison=compared_within(evaluation, result.pairs)
        if against is None
        else compare_evaluations(against, evaluation, store),
    )


def _matrix(
    evaluation: Evaluation,
    store: History,
    against: Evaluation | None,
    open_engine: OpenEngine,
    most_cases: int,
) -> CaseMatrix:
    order = sorted(_case_indices(evaluation, store))
    kept = set(order[:most_cases])
    targets = [
        [r for r in store.results(evaluation.id, target=target) if r.case_index in kept]
        for target in range(len(evaluation.targets))
    ]
    cases: dict[str, CaseResult] = {}
    for result in chain.from_iterable(targets):
        cases.setdefault(result.case_id, result)
    columns = list(_columns(evaluation, targets, open_engine))
    if against is not None:
        before = [
            [r for r in store.results(against.id, target=target) if r.case_id in cases]
            for target in range(len(against.targets))
        ]
        pairs = {theirs: ours for ours, theirs in paired_targets(against, evaluation)}
        columns = [
            *_columns(against, before, open_engine, earlier=True),
            *(
                (msgspec.structs.replace(column, earlier_column=pairs.get(target)), cells)
                for target, (column, cells) in enumerate(columns)
            ),
        ]
    rows = (
        MatrixRow(case, tuple(cells.get(case_id) for _, cells in columns))
        for case_id, case in sorted(cases.items(), key=lambda item: item[1].case_index)
    )
    return CaseMatrix(tuple(column for column, _ in columns), tuple(rows), cases=len(order))


def _case_indices(evaluation: Evaluation, store: History) -> set[int]:
    targets = range(len(evaluation.targets))
    return {index for target in targets for index, _ in store.done(evaluation.id, target)}


def _columns(
    evaluation: Evaluation,
    targets: list[list[CaseResult]],
    open_engine: OpenEngine,
    *,
    earlier: bool = False,
) -> Iterator[tuple[MatrixColumn, dict[str, MatrixCell]]]:
    """A column for each target's results, with its cells by case."""
    with Received(evaluation, open_engine) as received:
        for index, results in enumerate(targets):
            repeated: dict[str, list[CaseResult]] = {}
            for result in results:
                repeated.setdefault(result.case_id, []).append(result)
            cells = {
                case_id: MatrixCell(tuple(same), received.text(same[0]))
                for case_id, same in repeated.items()
            }
            exact = received.exact(index)
            yield MatrixColumn(evaluation.targets[index], evaluation, earlier, None, exact), cells
