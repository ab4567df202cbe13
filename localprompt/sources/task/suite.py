"""A task and its rows → an evaluation suite: one prompt, a case for each row.

What stands before an answer is made here, row by row, and travels as the case's own text; the
model goes on from it without a chat template, as under lm-evaluation-harness. A row's first metric
that can fail decides whether the case passed, the others are recorded beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localprompt.errors import DatasetError
from localprompt.records.prompt import PromptTemplate
from localprompt.records.score import Expectation
from localprompt.scoring.task_checks import POOLED
from localprompt.sources.suite.cases import CaseIds
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.suite.problems import Problems
from localprompt.sources.suite.records import CaseCounts, EvalCase, EvalSuite, SuitePrompt
from localprompt.sources.suite.stream import MOST_SKIPPED_SHOWN
from localprompt.sources.task.context import (
    Examples,
    choices_of,
    question,
    right_indices,
    target,
)
from localprompt.sources.task.data import read_split
from localprompt.sources.task.reading import read_task
from localprompt.sources.task.records import Task


def suite_from_task(
    path: Path,
    *,
    skip_bad_rows: bool = False,
    allow_outside: bool = False,
    strict: bool = False,
) -> EvalSuite:
    """Read a task and its data; a pass over all rows is part of it.

    Args:
        skip_bad_rows: whether rows that make no case are passed over and counted.
        allow_outside: whether files outside the task's folder may be read.
        strict: whether keys that are not known are errors.

    Raises:
        DatasetError: all that is wrong with the task, or with its rows.
    """
    folder = SuiteFolder(path.parent, allow_outside=allow_outside)
    task = read_task(path, folder, strict=strict)
    cases = TaskCases(task, folder, skip_bad_rows=skip_bad_rows)
    problems = Problems()
    counts = cases.check(problems)
    problems.raise_if_any()
    template = PromptTemplate(
        name=task.name,
        body="",
        path=str(path),
        sha256=task.sha256,
        options=task.options,
        choices=_constant(task),
        closed=task.output_type != "generate_until",
        language="text",
    )
    return EvalSuite(
        name=task.name,
        path=str(path),
        description=None,
        prompts=(SuitePrompt(task.name, template, str(path)),),
        providers=(),
        open_cases=cases,
        counts=counts,
        reads=tuple(map(str, folder.read)),
        notes=task.notes,
    )


class TaskCases:
    """Opens passes over the cases of one task; its rows are kept."""

    def __init__(self, task: Task, folder: SuiteFolder, *, skip_bad_rows: bool) -> None:
        self._task = task
        self._skip = skip_bad_rows
        self._rows = read_split(task.dataset, task.split, folder, str(task.at))
        pool = task.pool
        if isinstance(pool, str):
            rows = read_split(task.dataset, pool, folder, str(task.at))
            self._pool = [row for _, row in rows if isinstance(row, dict)]
        else:
            self._pool = list(pool or ())

    def __call__(self) -> Iterator[EvalCase]:
        """The cases in order.

        Raises:
            DatasetError: a row makes none, where such rows are not passed over.
        """
        for found in self._found():
            if isinstance(found, EvalCase):
                yield found
            elif not self._skip:
                raise found

    def check(self, problems: Problems) -> CaseCounts:
        """A pass that adds all that is wrong to ``problems``."""
        cases = skipped = 0
        first: list[str] = []
        for found in self._found():
            if isinstance(found, EvalCase):
                cases += 1
            elif self._skip:
                skipped += 1
                first += [str(found)] if len(first) < MOST_SKIPPED_SHOWN else []
            else:
                problems.add_error(found, self._task.at)
        return CaseCounts(cases, skipped, tuple(first))

    def _found(self) -> Iterator[EvalCase | DatasetError]:
        examples, ids, index = Examples(self._task, self._pool), CaseIds(), 0
        for at, row in self._rows:
            if isinstance(row, DatasetError):
                yield row
                continue
            shots = examples.next(row)  # drawn for every row, so that those of the next are right
            try:
                case = _case(self._task, row, shots, ids, index, at)
            except DatasetError as error:
                yield DatasetError(
                    error.message, where=at, expected=error.expected, found=error.found
                )
                continue
            index += 1
            yield case


def _case(
    task: Task, row: dict[str, Any], shots: list[str], ids: CaseIds, index: int, at: str
) -> EvalCase:
    writing, where = task.writing, task.path
    text = question(task, row, shots)
    answer = target(writing, row, where)
    choices: tuple[str, ...] = ()
    lead, right = "", answer
    if task.output_type == "multiple_choice":
        choices, lead = choices_of(writing, row, where), writing.target_delimiter
        indices = right_indices(answer, choices)
        right = indices[0] if len(indices) == 1 else indices
    elif task.output_type == "loglikelihood":
        choices, right = (str(answer),), 0
    else:
        right = _right_texts(task, row, answer)
    return EvalCase(
        id=ids.next(row, index),
        index=index,
        vars=row,
        expectations=tuple(_expectations(task, right, at)),
        prefix=text,
        choices=choices,
        lead=lead,
        where=at,
    )


def _right_texts(task: Task, row: dict[str, Any], answer: Any) -> list[str]:
    """What a generated answer may be."""
    if task.writing.choice is not None:
        choices = choices_of(task.writing, row, task.path)
        return [choices[at] for at in right_indices(answer, choices)]
    return [str(one) for one in (answer if isinstance(answer, list) else [answer])]


def _expectations(task: Task, right: Any, at: str) -> Iterator[Expectation]:
    """One for each metric, of generated answers one for each pipeline and metric."""
    deciding = True
    for pipeline in task.pipelines:
        for metric in task.metrics:
            several = len(task.pipelines) > 1
            name = f"{metric.name},{pipeline.name}" if several else metric.name
            counts = deciding and metric.name not in POOLED
            deciding = deciding and not counts
            config = dict(metric.options)
            if task.output_type == "generate_until":
                config["filters"] = list(pipeline.filters)
            yield Expectation(
                type=metric.name,
                value=right,
                weight=float(counts),
                metric=name,
                config=config,
                where=at,
            )


def _constant(task: Task) -> tuple[str, ...]:
    """The choices, where they are the same for every row."""
    value = task.writing.choice
    if task.output_type != "multiple_choice" or not isinstance(value, (list, dict)):
        return ()
    return choices_of(task.writing, {}, task.path)
