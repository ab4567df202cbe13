"""Flat rows as csv and jsonl: one way to write them for everything that is exported.

In csv a text that a spreadsheet would run as a formula (it begins with ``=``, ``+``, ``-``, ``@``,
a tab or a carriage return) gets an apostrophe in front; numbers do not, and whoever needs the bare
text takes jsonl. Unknown is null in jsonl and an empty cell in csv.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal, TextIO

from localprompt.records import json

ExportFormat = Literal["csv", "json", "jsonl", "md"]
Record = dict[str, Any]

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_CSV_SPECIAL = re.compile('[,"\r\n]')


def write_csv(names: Iterable[str], rows: Iterable[Iterable[Any]], stream: TextIO) -> int:
    """A line of names, then each row as it comes; how many rows there were."""
    stream.write(",".join(map(csv_cell, names)) + "\n")
    count = 0
    for row in rows:
        stream.write(",".join(map(csv_cell, row)) + "\n")
        count += 1
    return count


def write_records_csv(records: Iterable[Record], stream: TextIO) -> None:
    """Records that all have the same keys; of none, an empty file."""
    rows = list(records)
    if rows:
        write_csv(rows[0], (row.values() for row in rows), stream)


def write_jsonl(values: Iterable[Any], stream: TextIO) -> int:
    """Each as an object on a line of its own, as it comes; how many there were."""
    count = 0
    for value in values:
        stream.write(json.encode(value).decode() + "\n")
        count += 1
    return count


def csv_cell(value: Any) -> str:
    text = text_of(value)
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        text = f"'{text}"
    # By hand, because csv.writer leaves a lone carriage return bare, which readers take for an end
    # of line, unless every line ends in one.
    return '"{}"'.format(text.replace('"', '""')) if _CSV_SPECIAL.search(text) else text


def text_of(value: Any) -> str:
    """None → empty; text as it is; numbers, true and false as in JSON; the rest as JSON."""
    if value is None:
        return ""
    return json.well_formed(value) if isinstance(value, str) else json.encode(value).decode()
