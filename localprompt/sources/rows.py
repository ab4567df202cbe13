"""The cases of a prompt: a dataset read row by row, each row a mapping by column.

csv, jsonl, json and yaml. csv and jsonl are streamed, so memory does not grow with the file; json
and yaml have to be read whole and are bounded. Text may be UTF-8 or, with a byte order mark,
UTF-16. A row that does not follow the format is an error with its file and line, or, on request,
skipped and counted. Values of csv are text;
:func:`localprompt.sources.prompt.params.typed_values` turns them into what a prompt declares.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from localprompt import doors
from localprompt.errors import DatasetError
from localprompt.sources.documents import load_json
from localprompt.sources.yaml import INTEGERS, NUMBERS, KeyPath, read_yaml

MOST_WHOLE_BYTES = 64 << 20
"""The largest json or yaml file; csv and jsonl may be of any size."""
MOST_CELL = 1 << 26
_LONGEST_LINE = 1 << 26
_PORTION = 1 << 16
_MOST_NAMES = 12

Found = tuple[int, Any]
"""A row's line and what stood there: mostly a mapping, or the DatasetError that it is."""


class Case(msgspec.Struct, frozen=True):
    """One row of a dataset."""

    id: str
    """The row's ``id`` where there is one, otherwise ``row-N`` with its number from 1."""
    line: int
    values: dict[str, Any]
    """All columns but ``id``."""


class Cases:
    """The cases of one file; iterate to read it. ``skipped`` counts what was left out."""

    def __init__(
        self, path: Path | str, *, columns: Collection[str] = (), skip_bad_rows: bool = False
    ) -> None:
        """
        Args:
            path: a .csv, .jsonl, .json, .yaml or .yml file.
            columns: what every row must have.
            skip_bad_rows: leave rows out that do not follow the format, and count them.
        """
        self.path = Path(path)
        self.skipped = 0
        self._columns = tuple(columns)
        self._skip = skip_bad_rows

    def __iter__(self) -> Iterator[Case]:
        """Read from the beginning.

        Raises:
            DatasetError: the file cannot be read; or a row does not follow the format, lacks a
                column or has an id that another row has, unless such rows are skipped.
        """
        self.skipped = 0
        seen: dict[str, int] = {}
        for number, (line, row) in enumerate(read_rows(self.path), start=1):
            try:
                case = self._case(number, line, row)
                self._claim(case, seen)
            except DatasetError:
                if not self._skip:
                    raise
                self.skipped += 1
                continue
            yield case

    def _case(self, number: int, line: int, row: Any) -> Case:
        where = f"{self.path}:{line}"
        if isinstance(row, DatasetError):
            raise row
        if not isinstance(row, dict):
            raise DatasetError(
                "the row is not a mapping",
                where=where,
                expected="columns and values",
                found=_shown(row),
            )
        missing = [column for column in self._columns if column not in row]
        if missing:
            raise DatasetError(
                f"the row lacks {', '.join(missing)}",
                where=where,
                expected=", ".join(self._columns),
                found=_some(list(map(str, row))) or "nothing",
            )
        values = {str(key): value for key, value in row.items() if key != "id"}
        given = row.get("id")
        return Case(f"row-{number}" if given in (None, "") else str(given), line, values)

    def _claim(self, case: Case, seen: dict[str, int]) -> None:
        if case.id.startswith("row-"):
            return  # not kept in mind: a dataset without ids may be of any length
        before = seen.setdefault(case.id, case.line)
        if before != case.line:
            raise DatasetError(
                f"the id {case.id!r} appears twice",
                where=f"{self.path}:{case.line}",
                expected="a unique id for each row",
                found=f"the same id on line {before}",
            )


def read_rows(path: Path) -> Iterator[Found]:
    """Each row of a dataset with its line; reading goes on behind a malformed one.

    Raises:
        DatasetError: the file cannot be read, has no header, or is not of a known kind.
    """
    readers = {
        ".csv": _csv_rows,
        ".jsonl": _jsonl_rows,
        ".json": _json_rows,
        ".yaml": _yaml_rows,
        ".yml": _yaml_rows,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(
            "unknown kind of dataset",
            where=str(path),
            expected="a .csv, .jsonl, .json or .yaml file",
            found=path.suffix or "no suffix",
        )
    try:
        with doors.open_text(path, encoding=_encoding(path), newline="") as file:
            yield from reader(file, path)
    except FileNotFoundError:
        raise DatasetError("no such dataset", where=str(path)) from None
    except UnicodeError as error:
        raise _not_text(path, error) from error
    except OSError as error:
        raise DatasetError(f"cannot read the file: {error.strerror}", where=str(path)) from error


def _encoding(path: Path) -> str:
    with doors.open_file(path) as file:
        start = file.read(2)
    return "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _not_text(path: Path, error: UnicodeError) -> DatasetError:
    """A stream knows the offset in its buffer only, so the line is looked for in the file."""
    with doors.open_file(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as problem:
                return DatasetError(
                    "the file is not UTF-8 text",
                    where=f"{path}:{number}",
                    expected="UTF-8",
                    found=f"byte {line[problem.start]:#04x}",
                    next_step=f"iconv -f WINDOWS-1252 -t UTF-8 {path}",
                )
    return DatasetError("the file is not text", where=str(path), found=str(error))


def _csv_rows(file: IO[str], path: Path) -> Iterator[Found]:
    csv.field_size_limit(MOST_CELL)
    reader = csv.reader(_lines(file, path), strict=True)
    header: list[str] | None = None
    width = 0
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            problem = DatasetError(f"not csv: {error}", where=f"{path}:{line}")
            if header is None:
                raise problem from error
            yield line, problem
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = _header(cells, f"{path}:{line}")
            width = len(cells)
            continue
        if len(cells) == width > len(header) and not any(cells[len(header) :]):
            cells = cells[: len(header)]  # empty columns at the end, as spreadsheets leave them
        if len(cells) != len(header):
            yield line, _wrong_width(header, cells, f"{path}:{line}")
        else:
            yield line, dict(zip(header, cells, strict=True))
    if header is None:
        raise DatasetError("the dataset is empty", where=str(path), expected="a header and rows")


def _lines(file: IO[str], path: Path) -> Iterator[str]:
    """The lines of a stream, none of them longer than fits into memory beside the rest.

    Raises:
        DatasetError: one is.
    """
    number, parts, length = 1, [], 0
    while part := file.readline(_PORTION):  # a longer limit would take its memory at once
        parts.append(part)
        length += len(part)
        if length > _LONGEST_LINE:
            raise DatasetError(
                "a line is too long",
                where=f"{path}:{number}",
                expected=f"at most {_LONGEST_LINE:,} characters",
            )
        if len(part) < _PORTION or part.endswith("\n"):
            yield "".join(parts)
            number, parts, length = number + 1, [], 0
    if parts:
        yield "".join(parts)


def _some(names: list[str]) -> str:
    """The first few of many names."""
    more = f", … ({len(names)} in all)" if len(names) > _MOST_NAMES else ""
    return ", ".join(name[:40] for name in names[:_MOST_NAMES]) + more


def _header(cells: list[str], where: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    times = Counter(names)
    bad = [name for name in names if not name or times[name] > 1]
    if bad:
        raise DatasetError(
            "the header has a column twice" if bad[0] else "the header has a column without a name",
            where=where,
            expected="a unique name for each column",
            found=_some(names),
        )
    return names


def _wrong_width(header: list[str], cells: list[str], where: str) -> DatasetError:
    return DatasetError(
        "the row has a different number of cells than the header",
        where=where,
        expected=f"{len(header)} ({_some(header)})",
        found=str(len(cells)),
    )


def _jsonl_rows(file: IO[str], path: Path) -> Iterator[Found]:
    for number, line in enumerate(_lines(file, path), start=1):
        if not line.strip():
            continue
        try:
            yield number, load_json(line, f"{path}:{number}")
        except DatasetError as error:
            yield (
                number,
                DatasetError(
                    f"the row is {error.message}",
                    where=f"{path}:{number}",
                    expected="one JSON object on the line",
                    found=_shown(line.strip()),
                ),
            )


def _json_rows(file: IO[str], path: Path) -> Iterator[Found]:
    text = _whole(file, path)
    rows = load_json(text, str(path))
    lines = _lines_of_items(text)
    for index, row in enumerate(_a_list(rows, path)):
        yield lines[index] if index < len(lines) else 1, row


def _yaml_rows(file: IO[str], path: Path) -> Iterator[Found]:
    document = read_yaml(_whole(file, path), str(path), words=_words)
    for index, row in enumerate(_a_list(document.data, path)):
        yield document.at.lines.get((index,), 1), row


def _words(path: KeyPath) -> frozenset[str]:
    """A row's values are what the model sees; its threshold and its assertions are not."""
    return INTEGERS if {"assert", "threshold"}.intersection(path) else NUMBERS


def _whole(file: IO[str], path: Path) -> str:
    if path.stat().st_size > MOST_WHOLE_BYTES:
        raise DatasetError(
            f"the {path.suffix} dataset is too large to be read whole",
            where=str(path),
            expected=f"at most {MOST_WHOLE_BYTES:,} bytes",
            next_step="write it as .jsonl, which is streamed",
        )
    return file.read()


def _a_list(rows: Any, path: Path) -> list[Any]:
    if not isinstance(rows, list):
        raise DatasetError(
            "the dataset is not a list",
            where=str(path),
            expected="a list of rows",
            found=type(rows).__name__,
        )
    return rows


def _lines_of_items(text: str) -> list[int]:
    """The line on which each item of a valid JSON list begins."""
    decoder = json.JSONDecoder(parse_int=str)  # which has no limit of digits
    lines: list[int] = []
    at, line = text.find("[") + 1, 1
    counted = 0
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if at >= len(text) or text[at] == "]":
            return lines
        line += text.count("\n", counted, at)
        counted = at
        lines.append(line)
        try:
            _, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            return lines


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
