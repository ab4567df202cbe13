"""An evaluation in the terminal: a row for each prompt × model, then what stands behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from rich.console import Console
from rich.table import Table
from rich.text import Text

from localprompt.records.evaluation import (
    CaseResult,
    Classification,
    EvalResult,
    Evaluation,
    TargetSummary,
)
from localprompt.units import UNKNOWN
from localprompt.views.eval_text import (
    COLUMNS,
    heading,
    mean_text,
    remarks,
    target_name,
    target_row,
    use_lines,
)
from localprompt.views.files.runs import _CONTROL, _picture

MOST_FAILURES = 5
_SHOWN = 200
"""Characters of a text."""
_RIGHT = frozenset(COLUMNS[2:])


def print_evaluation(
    result: EvalResult,
    failures: Iterable[CaseResult],
    console: Console,
    *,
    most: int | None = MOST_FAILURES,
) -> None:
    """The whole evaluation.

    Args:
        failures: results that did not pass; read as far as they are shown.
        most: how many of them to show; None: all.
    """
    console.print(Text(heading(result.evaluation), style="bold"))
    console.print(Text(f"{result.evaluation.id}  {result.evaluation.path}", style="dim"))
    console.print(_targets(result))
    for summary in result.targets:
        for part in _details(summary, alone=len(result.targets) == 1):
            console.print(part)
    console.print()
    for use in result.uses:
        for line in use_lines(use):
            console.print(Text(line, style="dim"))
    for line in remarks(result):
        console.print(Text(line, style="yellow"))
    print_failures(result.evaluation, failures, console, most=most)


def print_failures(
    evaluation: Evaluation,
    failures: Iterable[CaseResult],
    console: Console,
    *,
    most: int | None = None,
) -> int:
    """Results that did not pass, with what was asked, answered and found; how many were shown."""
    iterator = iter(failures)
    shown = 0
    for case in islice(iterator, most):
        if not shown:
            console.print(Text("\nnot passed", style="bold"))
        shown += 1
        for line in _failure(evaluation, case):
            console.print(line)
    if most is not None and next(iterator, None) is not None:
        more = f"… more with:  localprompt runs show {evaluation.id} --failures"
        console.print(Text(more, style="dim"))
    return shown


def short(text: str, most: int = _SHOWN) -> str:
    """A text on one line, cut with a word on how long it is; control characters are pictures."""
    line = " ".join(text.split())
    whole = len(line) <= most
    shown = _CONTROL.sub(lambda match: _picture(match[0]), line if whole else line[:most])
    return shown if whole else f"{shown}… ({len(text):,} characters)"


def _targets(result: EvalResult) -> Table:
    # Where every score is 0 or 1 their mean says nothing beside the pass rate.
    same = all(summary.score.mean == summary.passes.rate for summary in result.targets)
    shown = [at for at, name in enumerate(COLUMNS) if not (same and name.startswith("mean score"))]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for at in shown:
        name = COLUMNS[at]
        table.add_column(name, justify="right" if name in _RIGHT else "left", overflow="fold")
    for summary in result.targets:
        row = target_row(summary)
        table.add_row(*(Text(row[at]) for at in shown))
    return table


def _details(summary: TargetSummary, *, alone: bool) -> Iterator[Text | Table]:
    name = "" if alone else f"{target_name(summary)}: "
    if summary.metrics:
        parts = [f"{metric} {mean_text(mean)}" for metric, mean in summary.metrics.items()]
        yield Text(f"\n{name}metrics", style="bold")
        yield Text("; ".join(parts))
    if len(summary.assertions) > 1:
        yield Text(f"\n{name}assertions", style="bold")
        yield _assertions(summary)
    if summary.classification is not None:
        yield Text(f"\n{name}expected (rows) and answered (columns)", style="bold")
        yield _confusion(summary.classification)
        yield Text(_classification_line(summary.classification))


def _assertions(summary: TargetSummary) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("type", "passed", "failed", "unscored", "mean score (95 %)"):
        table.add_column(name, justify="left" if name == "type" else "right")
    for one in summary.assertions:
        counts = (str(one.passed), str(one.failed), str(one.unscored))
        table.add_row(Text(one.type), *counts, mean_text(one.score))
    return table


def _confusion(found: Classification) -> Table:
    others = any(row[-1] for row in found.matrix)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for label in (*found.labels, *(["other"] if others else [])):
        table.add_column(Text(short(label, 24)), justify="right")
    for name in ("precision", "recall", "F1"):
        table.add_column(name, justify="right")
    for score, row in zip(found.scores, found.matrix, strict=True):
        counts = row if others else row[:-1]
        figures = (_share(score.precision), _share(score.recall), _share(score.f1))
        table.add_row(Text(short(score.label, 24)), *map(str, counts), *figures)
    return table


def _classification_line(found: Classification) -> str:
    line = f"accuracy {found.accuracy:.3f}, macro-F1 {found.macro_f1:.3f}"
    if found.calibration is not None:
        line += f", expected calibration error {found.calibration.expected_error:.3f}"
    return line


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


def _failure(evaluation: Evaluation, case: CaseResult) -> Iterator[Text]:
    target = evaluation.targets[case.target]
    state = "unscored" if case.score.passed is None else "failed"
    again = f", repetition {case.repetition}" if evaluation.repeat > 1 else ""
    name = case.description or case.case_id
    yield Text(f"{state}  {short(name, 60)}  ({target.prompt}, {target.model.name}{again})", "red")
    for key, value in case.vars.items():
        yield Text(f"  {key}: {short(str(value))}")
    if case.error is None:
        yield Text(f"  answer: {short(case.answer) or '(empty)'}")
    yield Text(f"  {short(case.score.reason)}")
