"""The frozen records of an evaluation that is read case by case: rows are cases, columns targets.

:class:`~localprompt.records.evaluation.EvalResult` says what an evaluation adds up to; this says
what happened, answer by answer, so that somebody can look for the reasons. With an earlier
evaluation beside it, that one's targets are columns as well, each paired with the column that
came of it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from localprompt.records.evaluation import (
    CaseResult,
    EvalComparison,
    EvalResult,
    EvalTarget,
    Evaluation,
)

State = Literal["passed", "failed", "error", "unscored", "mixed"]
"""``error``: there is no answer; ``mixed``: repetitions ended differently."""


class MatrixColumn(msgspec.Struct, frozen=True):
    """One target."""

    target: EvalTarget
    evaluation: Evaluation
    earlier: bool = False
    """Of the evaluation that this one is held against."""
    earlier_column: int | None = None
    """Index of the earlier column that it is paired with."""
    received: bool = True
    """Whether its prompts are what the model received. False: the model is not at hand, so they
    are the messages before its chat template."""


class MatrixCell(msgspec.Struct, frozen=True):
    """One case, answered by one target, as often as the evaluation repeats."""

    results: tuple[CaseResult, ...]
    """At least one, in the order of repetitions."""
    prompt: str | None
    """None: it could not be rendered; the results' error says why."""

    @property
    def state(self) -> State:
        states = {state_of(result) for result in self.results}
        return states.pop() if len(states) == 1 else "mixed"

    @property
    def passed(self) -> bool | None:
        """Whether most of its scored repetitions passed, as comparisons count a case."""
        scored = [r.score.passed for r in self.results if r.score.passed is not None]
        return sum(scored) * 2 > len(scored) if scored else None


class MatrixRow(msgspec.Struct, frozen=True):
    """One case."""

    case: CaseResult
    """Any of its results: for its id, its variables and its description."""
    cells: tuple[MatrixCell | None, ...]
    """One per column; None: the case is not for that target, or has no result yet."""


class CaseMatrix(msgspec.Struct, frozen=True):
    columns: tuple[MatrixColumn, ...]
    """Earlier ones first."""
    rows: tuple[MatrixRow, ...]
    """In the order of the suite; cases that only the earlier evaluation has are left out."""
    cases: int
    """All that have a result; more than there are rows where the matrix was cut."""


class EvaluationReport(msgspec.Struct, frozen=True):
    """All that a report says about an evaluation."""

    result: EvalResult
    matrix: CaseMatrix
    comparison: EvalComparison | None
    """With the earlier evaluation, or of every two of its own targets; None: nothing to pair."""


def state_of(result: CaseResult) -> State:
    """How one result ended."""
    if result.error is not None:
        return "error"
    if result.score.passed is None:
        return "unscored"
    return "passed" if result.score.passed else "failed"
