"""The data of the experiments: where it lies, and how a part of it becomes a file of its own.

All of it ships in ``benchmarks/`` with an account of how it was made. Training data and held-out
cases are different files; nothing here draws one from the other.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from localprompt import doors
from localprompt import paths as home
from localprompt.errors import DatasetError
from localprompt.records import json
from localprompt.sources import rows as sources

DATASETS = "datasets"
PROMPTS = "prompts"


def dataset(name: str) -> Path:
    """A shipped file of cases."""
    return home.shipped("benchmarks") / DATASETS / name


def prompt(name: str) -> Path:
    """A shipped prompt of the benchmarks."""
    return home.shipped("benchmarks") / PROMPTS / f"{name}.prompty"


def any_prompt(name: str) -> Path:
    """A prompt of the benchmarks, or one that ships for users."""
    ours = prompt(name)
    return ours if ours.is_file() else home.shipped("prompts") / f"{name}.prompty"


def digest(*paths: Path) -> str:
    """Of the files' bytes, in this order.

    Raises:
        DatasetError: one is not there.
    """
    total = hashlib.sha256()
    for path in paths:
        try:
            total.update(hashlib.sha256(doors.read_bytes(path)).digest())
        except OSError as error:
            raise DatasetError(
                "a file of the experiment is missing", where=str(path), found=error.strerror
            ) from error
    return total.hexdigest()


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a csv file, in order.

    Raises:
        DatasetError: it cannot be read, has a row of another width than its header, or no rows.
    """
    rows = list(_examples(path))
    if not rows:
        raise DatasetError("there are no cases", where=str(path), expected="at least one row")
    return rows


def write_rows(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    """A csv file with these rows, the first one's columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def first_examples(path: Path, count: int, folder: Path, name: str) -> Path:
    """The first examples of a user's file as a file of their own: csv stays csv, every other kind
    becomes a JSON object a line.

    Raises:
        DatasetError: the file cannot be read, or a row of it.
    """
    if path.suffix.lower() == ".csv":
        return write_rows(folder / f"{name}.csv", read_rows(path)[:count])
    target = folder / f"{name}.jsonl"
    lines = [json.encode(row) + b"\n" for row in islice(_examples(path), count)]
    folder.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"".join(lines))
    return target


def count_examples(path: Path) -> int:
    """How many examples a user's file has.

    Raises:
        DatasetError: it cannot be read.
    """
    return sum(1 for _ in _examples(path))


def _examples(path: Path) -> Iterator[Any]:
    for _, row in sources.read_rows(path):
        if isinstance(row, DatasetError):
            raise row
        yield row


def without(rows: Iterable[dict[str, str]], column: str) -> list[dict[str, str]]:
    """The rows without one of their columns."""
    return [{name: value for name, value in row.items() if name != column} for row in rows]
