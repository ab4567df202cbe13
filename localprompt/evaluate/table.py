"""One prompt over the rows of a table, answers beside them: what needs no suite and no scores.

    rows ──▶ prompts ──▶ answers, many at once ──▶ a csv, row by row in the table's order

The csv is the record: nothing goes into the history. A row is written when it and all rows before
it are answered, so that what was cut off goes on behind the last line that is whole. What is wrong
with a row stands in its ``error`` and stops no other.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import msgspec

from localprompt import doors
from localprompt.engine.constraints.answers import parse_output
from localprompt.errors import DatasetError, InputError, LocalPromptError
from localprompt.evaluate.answering import Answered, answers
from localprompt.evaluate.models import OpenEngine, OpenModel, open_llama
from localprompt.evaluate.requests import Prepared, prepare_all, scoring_of, shape_of
from localprompt.records.cell import Cell
from localprompt.records.evaluation import EvalRequest, EvalTarget
from localprompt.running.closed import is_weighed
from localprompt.sources.prompt.params import typed_values
from localprompt.sources.rows import Found, read_rows
from localprompt.sources.suite.records import EvalCase

AT_ONCE = 256
"""Rows that are handed to the engine together, and the most that an interruption can lose."""
ERROR = "error"

OnRow = Callable[[int, int], None]
"""Told how many rows are done, and how many there are."""


class TableDone(msgspec.Struct, frozen=True):
    """What became of a table."""

    rows: int
    """All of the table."""
    before: int
    """Of those, how many an earlier run had answered."""
    errors: int
    """Rows of this run whose ``error`` is not empty."""
    interrupted: bool = False


class Table(msgspec.Struct, frozen=True):
    """A table and the prompt to run over it, checked."""

    cell: Cell
    """Its ``params`` are the same for all rows."""
    path: Path
    columns: tuple[str, ...]
    """Of the table."""
    answered: tuple[str, ...]
    """The columns that answers add; the last is :data:`ERROR`."""
    rows: int

    @property
    def header(self) -> list[str]:
        return [*self.columns, *self.answered]


def open_table(cell: Cell, path: Path) -> Table:
    """Look through a table before a model is opened.

    Raises:
        DatasetError: it cannot be read, or a column is missing that the prompt needs.
    """
    columns: dict[str, None] = {}
    count = 0
    for _, row in read_rows(path):
        count += 1
        if isinstance(row, dict):
            columns.update(dict.fromkeys(map(str, row)))
    needed = [
        spec.name
        for spec in cell.template.inputs
        if spec.required and spec.name not in cell.params and spec.name not in columns
    ]
    if needed or not count:
        raise DatasetError(
            f"the table lacks {', '.join(needed)}" if count else "the table has no rows",
            where=str(path),
            expected=", ".join(spec.name for spec in cell.template.inputs) or None,
            found=", ".join(columns) or "nothing",
            next_step=f"or the same for all rows: -p {needed[0]}=…" if count else None,
        )
    names = _properties(cell) or ["answer"]
    answered = [f"answer.{name}" if name in columns or name == ERROR else name for name in names]
    return Table(cell, path, tuple(columns), (*answered, ERROR), count)


def _properties(cell: Cell) -> list[str]:
    """Those of an answer that is a mapping: a column each."""
    schema = cell.template.output_schema or {}
    properties = schema.get("properties") if schema.get("type") == "object" else None
    return [str(name) for name in properties] if isinstance(properties, Mapping) else []


def run_table(
    table: Table,
    to: Path | None,
    stdout: TextIO,
    *,
    open_engine: OpenEngine = open_llama,
    on_row: OnRow = lambda done, total: None,
) -> TableDone:
    """Answer all rows that are not answered yet.

    Args:
        to: a csv to write, or to go on with; None writes to ``stdout``.

    Raises:
        InputError: the csv that is there is not of this table and prompt.
        LocalPromptError: the model cannot be opened, or llama.cpp fails.
        OSError: the csv cannot be written.
    """
    there = None if to is None else _rows_in(to, table)
    before = there or 0
    if before >= table.rows:
        return TableDone(table.rows, before, 0)
    file = stdout if to is None else to.open("a", newline="", encoding="utf-8")
    errors = done = 0
    interrupted = False
    try:
        writer = csv.writer(file, lineterminator="\n")
        if there is None:
            writer.writerow(table.header)
        request = _request(table.cell)
        opened = OpenModel(table.cell.model, request, open_engine)
        try:
            for row in _answered(table, before, opened, request):
                writer.writerow(row)
                file.flush()
                errors += bool(row[-1])
                done += 1
                on_row(before + done, table.rows)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            opened.close()
    finally:
        if to is not None:
            file.close()
    return TableDone(table.rows, before, errors, interrupted)


def _rows_in(to: Path, table: Table) -> int | None:
    """How many rows the csv has, whole ones; what follows the last of them is cut off. None: it
    has no header either.

    Nothing before that is written again: a kill while it was would lose what was answered.

    Raises:
        InputError: it is not of this table and prompt.
        OSError: it cannot be read, or is not a file.
    """
    if not doors.exists(to):
        return None
    csv.field_size_limit(_MOST_CELL)
    end = whole = 0
    given = (_cells(table.columns, row) for _, row in read_rows(table.path))
    expected = chain([table.header], given)
    with doors.open_file(to) as file:
        lines = _WholeLines(file)
        try:
            for cells in csv.reader(lines, strict=True):
                wanted = next(expected, None)
                if wanted is None or len(cells) != len(table.header):
                    raise _of_something_else(to, table)
                if cells[: len(wanted)] != wanted:
                    raise _of_something_else(to, table)
                end, whole = lines.bytes_read, whole + 1
        except UnicodeDecodeError as error:
            raise _of_something_else(to, table) from error
        except csv.Error as error:
            if str(error) != _CUT_OFF:
                raise _of_something_else(to, table) from error
        size = file.seek(0, os.SEEK_END)
    if size and not whole:
        raise _of_something_else(to, table)
    if end < size:
        os.truncate(to, end)
    return whole - 1 if whole else None


_MOST_CELL = 1 << 26
_CUT_OFF = "unexpected end of data"
"""What the csv module says of a quoted cell that does not end."""


class _WholeLines:
    """The lines of a file that have an end, and how far they go."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.bytes_read = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            if line.endswith(b"\n"):
                self.bytes_read += len(line)
                yield line.decode("utf-8")


def _of_something_else(to: Path, table: Table) -> InputError:
    with doors.open_file(to) as file:
        found = file.readline(1000).decode("utf-8", "replace").rstrip("\n")[:200]
    return InputError(
        "the file exists, and was not made from this table and prompt",
        where=str(to),
        expected=",".join(table.header)[:200],
        found=found,
        next_step=f"another name after --to, or remove {to}",
    )


def _request(cell: Cell) -> EvalRequest:
    return EvalRequest(
        suite="",
        scoring="raw" if is_weighed(cell.template) else "generate",
        settings=cell.settings,
        chat_template=cell.chat_template,
        lenient=cell.lenient,
        force=cell.force,
    )


def _answered(
    table: Table, before: int, opened: OpenModel, request: EvalRequest
) -> Iterator[list[str]]:
    """The csv's rows, in the table's order."""
    cell = table.cell
    target = EvalTarget(
        model=cell.model,
        provider=cell.model.name,
        provider_id=cell.model.name,
        prompt=cell.template.name,
        template=cell.template,
        sampling=cell.sampling,
        results=table.rows,
    )
    rows = enumerate(read_rows(table.path))
    scoring = scoring_of(cell.template, request)
    shape = shape_of(_first_cases(table), target, request, opened)
    left = islice(rows, before, None)
    while chunk := list(islice(left, AT_ONCE)):
        lines: dict[int, list[str]] = {}
        cases: list[tuple[EvalCase, int]] = []
        for number, found in chunk:
            try:
                cases.append((_case(table, number, found), 0))
            except LocalPromptError as error:
                lines[number] = _line(table, found[1], None, _words(error))
        by_number = dict(chunk)
        waiting: list[Prepared] = []
        for one in prepare_all(cases, target, request, opened):
            if one.error is None:
                waiting.append(one)
            else:
                row = by_number[one.case.index][1]
                lines[one.case.index] = _line(table, row, None, _words(one.error))
        expected = chunk[0][0]
        for prepared, answer in answers(waiting, opened, scoring, cell.template, shape):
            number = prepared.case.index
            values, wrong = _values(table, answer)
            lines[number] = _line(table, by_number[number][1], values, wrong)
            while expected in lines:
                yield lines.pop(expected)
                expected += 1
        for number in sorted(lines):
            yield lines[number]


def _first_cases(table: Table) -> Iterator[EvalCase]:
    """Those of the rows that can be asked, from the table's beginning."""
    for number, found in enumerate(read_rows(table.path)):
        with suppress(LocalPromptError):
            yield _case(table, number, found)


def _case(table: Table, number: int, found: Found) -> EvalCase:
    """
    Raises:
        LocalPromptError: the row is not one, or a value is of the wrong kind.
    """
    line, row = found
    where = f"{table.path}:{line}"
    if isinstance(row, LocalPromptError):
        raise row
    if not isinstance(row, dict):
        raise DatasetError("the row is not a mapping", where=where)
    template = table.cell.template
    values = typed_values({str(key): value for key, value in row.items()}, template)
    defaults = {s.name: s.default for s in template.inputs if s.default is not None}
    values = {**defaults, **table.cell.params, **values}
    return EvalCase(id=f"row-{number + 1}", index=number, vars=values, where=where)


def _values(table: Table, answer: Answered) -> tuple[list[Any] | None, str]:
    """What goes into the answer's columns, and what is wrong."""
    template = table.cell.template
    if template.output_schema is not None:
        document, problem = parse_output(answer.text, template.output_schema, answer.finish_reason)
        if problem is not None:
            return None, f"{problem}: {answer.text}"
        names = _properties(table.cell)
        return [document.get(name) for name in names] if names else [document], ""
    if template.choices and answer.text not in template.choices:
        return None, f"none of the choices: {answer.text}"
    return [answer.text], "" if answer.finish_reason == "stop" else "cut by --max-tokens"


def _line(table: Table, row: Any, values: list[Any] | None, error: str) -> list[str]:
    blank = [""] * (len(table.answered) - 1)
    shown = blank if values is None else [_text(value) for value in values]
    return [*_cells(table.columns, row), *shown, error]


def _cells(columns: tuple[str, ...], row: Any) -> list[str]:
    given = {str(key): value for key, value in row.items()} if isinstance(row, dict) else {}
    return [_text(given.get(column)) for column in columns]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _words(error: LocalPromptError) -> str:
    parts = [error.message]
    parts += [f"expected {error.expected}"] if error.expected else []
    parts += [f"found {error.found}"] if error.found else []
    return "; ".join(parts)
