"""The rows of a task's local files, typed as lm-evaluation-harness finds them.

Its loaders give a csv column of numbers as numbers and an empty cell as nothing, and every row all
columns; templates depend on it (``{{ choices[answer] }}``), so the same is done here.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from localprompt.errors import DatasetError
from localprompt.sources.documents import load_json, read_text
from localprompt.sources.rows import MOST_CELL, Found, read_rows
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.task.records import Dataset

_MISSING = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"}
    | {"<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
"""Cells of csv that mean nothing to pandas, by which lm-evaluation-harness reads them."""

Rows = list[tuple[str, Any]]
"""Where each row stands, and the row: a mapping, or the DatasetError that it is."""


def read_split(dataset: Dataset, split: str, folder: SuiteFolder, where: str) -> Rows:
    """All rows of a split, with every column in each.

    Raises:
        DatasetError: there is no such split or file, or a file cannot be read.
    """
    names = dataset.files.get(split)
    if names is None:
        raise DatasetError(
            f"the data has no split {split!r}",
            where=where,
            expected=f"one of: {', '.join(dataset.files)}",
        )
    found: Rows = []
    for name in names:
        paths = folder.matching(name, where) or SuiteFolder(Path.cwd()).matching(name, where)
        if not paths:
            raise DatasetError(
                "no such data file", where=where, found=str(folder / name), expected="a local file"
            )
        for path in (folder.allow(path, where) for path in paths):
            found += [(f"{path}:{line}", row) for line, row in _rows(dataset, path)]
    rows = [row for _, row in found if isinstance(row, dict)]
    columns = dict.fromkeys(str(key) for row in rows for key in row)
    if dataset.kind == "csv":
        _type_columns(rows, columns)
    empty = dict.fromkeys(columns)
    return [
        (at, {**empty, **row} if isinstance(row, dict) else _not_a_row(row, at))
        for at, row in found
    ]


def _rows(dataset: Dataset, path: Path) -> Iterator[Found]:
    if dataset.kind == "text":
        lines = read_text(path).split("\n")
        yield from (
            (n, {"text": line}) for n, line in enumerate(lines, 1) if line or n < len(lines)
        )
    elif dataset.kind == "csv":
        yield from _separated(path, dataset.options.get("delimiter", ","))
    else:
        yield from _json(path, dataset.options.get("field"))


def _separated(path: Path, delimiter: str) -> Iterator[Found]:
    if delimiter == "," and path.suffix.lower() == ".csv":
        yield from read_rows(path)
        return
    csv.field_size_limit(MOST_CELL)
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter)
    header = next(reader, None)
    if not header:
        raise DatasetError("the dataset is empty", where=str(path), expected="a header and rows")
    for cells in reader:
        if len(cells) == len(header):
            yield reader.line_num, dict(zip(header, cells, strict=True))
        elif cells:
            message = "the row has a different number of cells than the header"
            yield reader.line_num, DatasetError(message, where=f"{path}:{reader.line_num}")


def _json(path: Path, field: Any) -> Iterator[Found]:
    """A list of rows, one of them in a line, or the list under a key of one object."""
    text = read_text(path)
    if field is not None:
        data = load_json(text, str(path))
        if not isinstance(data, dict) or not isinstance(data.get(field), list):
            raise DatasetError(f"there is no list {field!r} in the file", where=str(path))
        yield from ((1, row) for row in data[field])
    elif text.lstrip().startswith("["):
        data = load_json(text, str(path))
        yield from ((1, row) for row in data)
    else:
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                try:
                    yield number, load_json(line, f"{path}:{number}")
                except DatasetError as error:
                    yield number, error


def _type_columns(rows: list[dict[str, Any]], columns: dict[str, None]) -> None:
    """Turn the cells of each column into what all of them are."""
    for name in columns:
        cells = [row.get(name) for row in rows]
        present = [cell for cell in cells if cell not in _MISSING and cell is not None]
        typed = next(kind for kind in _KINDS if all(_is(kind, cell) for cell in present))
        if typed is _whole and len(present) < len(cells):
            typed = _number  # pandas has no whole number that is missing
        for row in rows:
            cell = row.get(name)
            row[name] = None if cell is None or cell in _MISSING else typed(cell)


def _truth(cell: str) -> bool:
    if cell not in ("True", "False", "TRUE", "FALSE", "true", "false"):
        raise ValueError(cell)
    return cell.lower() == "true"


def _number(cell: str) -> float:
    value = float(cell)
    if not math.isfinite(value) or "_" in cell:
        raise ValueError(cell)
    return value


def _whole(cell: str) -> int:
    if "_" in cell:
        raise ValueError(cell)
    return int(cell)


def _is(kind: Callable[[str], Any], cell: str) -> bool:
    try:
        kind(cell)
    except ValueError:
        return False
    return True


_KINDS: tuple[Callable[[str], Any], ...] = (_truth, _whole, _number, str)


def _not_a_row(row: Any, at: str) -> DatasetError:
    if isinstance(row, DatasetError):
        return row
    found = type(row).__name__
    return DatasetError("the row is not an object", where=at, expected="{…}", found=found)
