"""The matrix of cases: what every target made of every case, for reading, filtering, comparing.

A row shows each target's verdict and the beginning of its answer. Its details hold, side by side,
the whole answers, what every assertion found, and the prompts as the models received them. They
are folded, and a folded row costs the browser next to nothing.

Prompts of one target mostly repeat each other: instructions, examples, the chat template. Where
that would make the page large, what all of them begin and end with is written once per column and
referred to in the rows; the page's script puts it back together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import msgspec

from localprompt.records.case_matrix import (
    CaseMatrix,
    MatrixCell,
    MatrixColumn,
    MatrixRow,
    state_of,
)
from localprompt.records.evaluation import CaseResult
from localprompt.records.score import Score
from localprompt.units import format_seconds
from localprompt.views.eval_text import short, target_names, value_text
from localprompt.views.figures import moment_text
from localprompt.views.sections import Block, Notice, Notices
from localprompt.views.translation import to_translate, translated

MOST_TEXT = 20_000
"""Characters of one answer or prompt; the rest stays in the history."""
_SHARED_PAYS = 64 * 1024
"""Characters that a column has to repeat before they are written once instead."""
_NAME = 100
_ANSWER = 60
_WORDS = {
    "error": to_translate("no answer"),
    "passed": to_translate("passed"),
    "failed": to_translate("failed"),
    "unscored": to_translate("unscored"),
}


class CaseColumn(msgspec.Struct, frozen=True):
    name: str
    earlier: bool
    earlier_column: int | None
    prompt_title: str
    """What its texts are: prompts as received, or messages."""
    start: str = ""
    """What all its prompts begin with; "" where each has its own whole text."""
    end: str = ""


class AnswerText(msgspec.Struct, frozen=True):
    """One repetition's answer with what was found in it."""

    title: str
    """``failed``, or ``repetition 2 of 3: failed``."""
    text: str | None
    """None: there is no answer."""
    reasons: tuple[tuple[str, str], ...]
    """Verdict and finding of each assertion."""
    note: str


class CaseCell(msgspec.Struct, frozen=True):
    state: str
    word: str
    passed: str
    """``1``, ``0`` or ``""``: what decides whether a case flipped."""
    change: str
    """Since the earlier evaluation: ``repaired``, ``broken`` or ``""``."""
    answer: str
    answers: tuple[AnswerText, ...]
    prompt: str | None
    """Less the column's start and end."""


class CaseRow(msgspec.Struct, frozen=True):
    number: int
    name: str
    vars: tuple[tuple[str, str], ...]
    cells: tuple[CaseCell | None, ...]


class CaseTable(Block, frozen=True):
    template: ClassVar[str] = "cases.html"
    assets: ClassVar[tuple[str, ...]] = ("cases.css", "cases.js")
    caption: str
    columns: tuple[CaseColumn, ...]
    rows: tuple[CaseRow, ...]


def case_blocks(matrix: CaseMatrix) -> Iterator[Block]:
    """The table, and a word on what is not in it."""
    if len(matrix.rows) < matrix.cases:
        missing = matrix.cases - len(matrix.rows)
        text = f"the last {missing:,} of {matrix.cases:,} cases are left out to keep the page quick"
        identity = next(c.evaluation.id for c in matrix.columns if not c.earlier)
        advice = f"All of them: localprompt runs show {identity} --json"
        yield Notices((Notice("note", text, advice=advice),))
    if matrix.rows:
        yield _table(matrix)


def _table(matrix: CaseMatrix) -> CaseTable:
    names = column_names(matrix.columns)
    columns = [
        _column(index, column, names[index], matrix.rows)
        for index, column in enumerate(matrix.columns)
    ]
    caption = translated(
        "A row is a case. Details hold answers, what the assertions found, and prompts."
    )
    before = next((column.evaluation for column in matrix.columns if column.earlier), None)
    if before is not None:
        when = moment_text(before.created_at)
        caption += " " + translated(f"Earlier: {before.title} of {when}, {before.id}.")
    return CaseTable(
        caption,
        tuple(columns),
        tuple(_row(row, number, columns) for number, row in enumerate(matrix.rows, start=1)),
    )


def column_names(columns: Sequence[MatrixColumn]) -> tuple[str, ...]:
    """What tells the columns apart: prompt, model or both, and which evaluation they are of."""
    names = target_names([column.target for column in columns])
    return tuple(
        f"{'earlier: ' if column.earlier else ''}{name}"
        for column, name in zip(columns, names, strict=True)
    )


def _column(index: int, column: MatrixColumn, name: str, rows: Sequence[MatrixRow]) -> CaseColumn:
    prompts = [cell.prompt for row in rows if (cell := row.cells[index]) and cell.prompt]
    start, end = shared_ends(prompts)
    pays = (len(start) + len(end)) * len(prompts) >= _SHARED_PAYS
    return CaseColumn(
        name,
        column.earlier,
        column.earlier_column,
        to_translate(
            "Prompt as received" if column.received else "Messages, before the chat template"
        ),
        start if pays else "",
        end if pays else "",
    )


def shared_ends(texts: Sequence[str]) -> tuple[str, str]:
    """What all texts begin with, and what the rests of all of them end with."""
    if len(texts) < 2:
        return "", ""
    start = _common_start(texts)
    return start, _common_start([text[len(start) :][::-1] for text in texts])[::-1]


def _common_start(texts: Sequence[str]) -> str:
    """Of the first and the last in order, and so of all between them."""
    first, last = min(texts), max(texts)
    differ = (at for at, (x, y) in enumerate(zip(first, last, strict=False)) if x != y)
    return first[: next(differ, len(first))]


def _row(row: MatrixRow, number: int, columns: Sequence[CaseColumn]) -> CaseRow:
    case = row.case
    values = tuple((name, _cut(value_text(value))) for name, value in case.vars.items())
    name = case.description or "; ".join(text for _, text in values) or case.case_id
    cells = [
        None if cell is None else _cell(cell, column, _change(cell, column, row.cells))
        for cell, column in zip(row.cells, columns, strict=True)
    ]
    return CaseRow(
        number, short(name, _NAME), ((translated("case"), case.case_id), *values), tuple(cells)
    )


def _change(cell: MatrixCell, column: CaseColumn, cells: Sequence[MatrixCell | None]) -> str:
    """What became of the case since the earlier evaluation."""
    before = None if column.earlier_column is None else cells[column.earlier_column]
    if before is None or None in (before.passed, cell.passed) or before.passed == cell.passed:
        return ""
    return to_translate("repaired" if cell.passed else "broken")


def _cell(cell: MatrixCell, column: CaseColumn, change: str) -> CaseCell:
    results = cell.results
    word = _WORDS.get(cell.state, cell.state)
    if cell.state == "mixed":
        word = f"{sum(r.score.passed is True for r in results)} of {len(results)} passed"
    prompt = cell.prompt
    if prompt is not None:
        prompt = _cut(prompt[len(column.start) : len(prompt) - len(column.end)])
    return CaseCell(
        state=cell.state,
        word=word,
        passed="" if cell.passed is None else str(int(cell.passed)),
        change=change,
        answer=short(results[0].answer, _ANSWER),
        answers=tuple(_answer(result, len(results)) for result in results),
        prompt=prompt,
    )


def _answer(result: CaseResult, repetitions: int) -> AnswerText:
    state = state_of(result)
    word = _WORDS.get(state, state)
    if repetitions > 1:
        number = result.repetition + 1
        word = translated(f"repetition {number} of {repetitions}: {translated(word)}")
    reasons = tuple(_reasons(result.score.scores)) or (("", result.score.reason),)
    return AnswerText(
        title=word,
        text=None if result.error is not None else _cut(result.answer),
        reasons=reasons,
        note="; ".join(_notes(result)),
    )


def _reasons(scores: Sequence[Score], within: str = "") -> Iterator[tuple[str, str]]:
    """Verdict and finding of each assertion, those of a set after the set."""
    for score in scores:
        word = {True: "passed", False: "failed", None: "unscored"}[score.passed]
        name = f"{within}{score.type}"
        graded = f", score {score.score:.2f}" if score.score not in (None, 0.0, 1.0) else ""
        metric = f" [{score.metric}]" if score.metric else ""
        yield word, _cut(f"{name}{metric}: {score.reason}{graded}")
        yield from _reasons(score.members, f"{name} › ")


def _notes(result: CaseResult) -> Iterator[str]:
    if result.prompt_tokens is not None:
        yield f"{result.prompt_tokens} + {result.completion_tokens or 0} tokens"
    if result.cached:
        yield translated("answer taken over")
    if result.timing is not None and result.timing.ttft_seconds is not None:
        yield f"TTFT {format_seconds(result.timing.ttft_seconds)} (batched)"
    if result.finish_reason not in (None, "stop"):
        yield translated(f"ended by {result.finish_reason}")
    if result.probabilities:
        likely = sorted(result.probabilities.items(), key=lambda item: -item[1])
        yield "probability " + ", ".join(f"{label} {share:.3f}" for label, share in likely)
    if result.score.score is not None:
        yield f"score {result.score.score:.2f}"


def _cut(text: str) -> str:
    if len(text) <= MOST_TEXT:
        return text
    return f"{text[:MOST_TEXT]}\n… ({len(text):,} characters; the rest is in the history)"
