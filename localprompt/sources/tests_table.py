"""Rows of a table of tests, as promptfoo's csv files have them, streamed.

Every column is a variable, but for those with two underscores: ``__expected`` (and
``__expected1``, ``__expected2`` …), ``__description``, ``__prefix``, ``__suffix``, ``__metric``,
``__threshold``, ``__metadata:key`` (``__metadata:tags[]`` for a list between commas),
``__config:__expected1:threshold``, and ``__id``, a case's own id.

A row is read, turned into a test and forgotten: memory does not grow with the file.
"""

from __future__ import annotations

import codecs
import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from localprompt.errors import DatasetError

_EXPECTED = re.compile(r"__expected(\d*)")
_CONFIG = re.compile(r"__config:__expected(\d*):(\w+)")
_PLAIN = {
    "__description": "description",
    "__prefix": "prefix",
    "__suffix": "suffix",
    "__metric": "metric",
    "__id": "id",
}
_LIMIT = 100_000_000
"""Characters in one cell; the csv module's own limit of 131,072 is less than a long document."""


class Row(NamedTuple):
    """One row, or what is wrong with it."""

    line: int
    """Where it begins in the file."""
    values: dict[str, Any]
    error: DatasetError | None = None


def read_csv(path: Path, shown: str | None = None) -> Iterator[Row]:
    """The rows of a csv file in UTF-8, with or without a byte order mark.

    A malformed row comes with its error, and reading goes on behind it.

    Raises:
        DatasetError: there is no header, or the file cannot be read or is not UTF-8.
    """
    shown = shown or str(path)
    csv.field_size_limit(_LIMIT)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _rows(csv.reader(file, strict=True), shown)
    except UnicodeDecodeError as error:
        raise DatasetError(
            "the file is not UTF-8 text",
            where=shown,
            expected="UTF-8",
            found=f"byte {error.object[error.start]:#04x}",
            next_step=f"iconv -t UTF-8 {shown}",
        ) from error
    except OSError as error:
        raise DatasetError(f"cannot read the file: {error.strerror}", where=shown) from error


def read_jsonl(path: Path, shown: str | None = None) -> Iterator[Row]:
    """The objects of a jsonl file, one a line; empty lines are passed over.

    A malformed line comes with its error, and reading goes on behind it.

    Raises:
        DatasetError: the file cannot be read.
    """
    shown = shown or str(path)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                if text.strip():
                    yield _json_row(text, number, f"{shown}:{number}")
    except OSError as error:
        raise DatasetError(f"cannot read the file: {error.strerror}", where=shown) from error


def _json_row(line: bytes, number: int, where: str) -> Row:
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError:
        problem = DatasetError("the line is not UTF-8 text", where=where, expected="UTF-8")
    except (ValueError, RecursionError) as error:
        problem = DatasetError(f"the line is not JSON: {error}", where=where, expected="an object")
    else:
        if isinstance(value, dict):
            return Row(number, value)
        kind = type(value).__name__
        problem = DatasetError("the line is no object", where=where, expected="{…}", found=kind)
    return Row(number, {}, problem)


def _rows(reader: Any, shown: str) -> Iterator[Row]:
    columns: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            problem = DatasetError(f"not csv: {error}", where=f"{shown}:{line}")
            if columns is None:
                raise problem from error
            yield Row(line, {}, problem)
            continue
        if cells is None:
            break
        if not cells:  # an empty line
            continue
        if columns is None:
            columns = _header(cells, f"{shown}:{line}")
        elif len(cells) != len(columns):
            yield Row(line, {}, _wrong_width(cells, columns, f"{shown}:{line}"))
        else:
            yield Row(line, dict(zip(columns, cells, strict=True)))
    if columns is None:
        raise DatasetError("the file is empty", where=shown, expected="a header and rows")


def _header(cells: list[str], where: str) -> list[str]:
    columns = [cell.strip() for cell in cells]
    for column in columns:
        if not column:
            raise DatasetError("a column has no name", where=where, found=", ".join(columns))
        if columns.count(column) > 1:
            raise DatasetError(f"the column {column!r} stands there twice", where=where)
    return columns


def _wrong_width(cells: list[str], columns: list[str], where: str) -> DatasetError:
    return DatasetError(
        "the row has another number of cells than the header",
        where=where,
        expected=f"{len(columns)} ({', '.join(columns)})",
        found=str(len(cells)),
    )


def split_columns(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row's variables, and its test's own fields by promptfoo's names.

    The second holds ``expected`` (list of shorthand texts), ``thresholds`` (of those, by their
    number from 0), ``metadata``, and the plain columns without their underscores.

    Raises:
        DatasetError: a special column is not known, or holds no number where one belongs.
    """
    variables: dict[str, Any] = {}
    fields: dict[str, Any] = {"expected": [], "thresholds": {}, "metadata": {}}
    for column, cell in row.items():
        if not column.startswith("__"):
            variables[column] = cell
        elif _EXPECTED.fullmatch(column):
            if str(cell).strip():
                fields["expected"].append((column, str(cell).strip()))
        elif column.startswith("__metadata:"):
            _add_metadata(fields["metadata"], column.removeprefix("__metadata:"), cell)
        elif (config := _CONFIG.fullmatch(column)) is not None and config[2] == "threshold":
            if str(cell).strip():
                fields["thresholds"][int(config[1] or 1) - 1] = _number(cell, column)
        elif column == "__threshold":
            fields["threshold"] = _number(cell, column) if str(cell).strip() else None
        elif column in _PLAIN:
            fields[_PLAIN[column]] = cell or None
        else:
            raise DatasetError(
                f"the column {column!r} is not known",
                expected="__expected, __expected1, __description, __prefix, __suffix, __metric,"
                " __threshold, __metadata:…, __config:__expected1:threshold or __id",
            )
    return variables, fields


def _add_metadata(metadata: dict[str, Any], key: str, cell: Any) -> None:
    if not str(cell).strip():
        return
    if key.endswith("[]"):
        parts = re.split(r"(?<!\\),", str(cell))
        metadata[key[:-2]] = [part.strip().replace("\\,", ",") for part in parts]
    else:
        metadata[key] = cell


def _number(cell: Any, column: str) -> float:
    try:
        number = float(cell)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DatasetError(f"{column} is not a number", expected="a number", found=repr(cell))
    return number
