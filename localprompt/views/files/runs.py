"""Runs as files for other tools: csv, json, jsonl and Markdown.

json (an array, one run a line) and jsonl hold the complete record, as ``--json`` prints it. csv
and md are flat: a column for each leaf of the record, named by its path (``timing.ttft_seconds``);
the list is read off the records' own structure, so a field added there is a column here.
Lists and objects (parameters, messages, warnings) are JSON inside their cell. Unknown is null in
json and an empty cell elsewhere.

Runs are written as they come, so a history of any size takes no more memory than one run.

What a model answered is written by nobody who can be trusted: csv and md are written by
:mod:`localprompt.views.files.rows` and :mod:`localprompt.views.markdown`, which see to that.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, TextIO, get_type_hints

import msgspec

from localprompt.records import json
from localprompt.records.run import RunRecord
from localprompt.views.files.rows import ExportFormat, write_csv, write_jsonl
from localprompt.views.markdown import cell, row

MARKDOWN_COLUMNS = (
    "id",
    "created_at",
    "kind",
    "model.name",
    "model.quantization",
    "prompt.name",
    "tokens.prompt",
    "tokens.completion",
    "timing.load_seconds",
    "timing.ttft_seconds",
    "timing.prefill_tokens_per_second",
    "timing.decode_tokens_per_second",
    "memory.peak_rss_bytes",
    "output.finish_reason",
    "output.text",
)
"""The columns that people read; all of them, some seventy, would make no table."""


def write_runs(runs: Iterable[RunRecord], format: ExportFormat, stream: TextIO) -> int:  # noqa: A002
    """Write every run to ``stream``, each as soon as it is there.

    Args:
        stream: text; UTF-8, and opened with ``newline=""`` where it is a file.

    Returns:
        How many runs were written.
    """
    writers = {"csv": _write_csv, "json": _write_json, "jsonl": write_jsonl, "md": _write_markdown}
    return writers[format](runs, stream)


@cache
def columns() -> tuple[str, ...]:
    """The leaves of a run record in its own order: ``id``, …, ``model.name``, …, ``warnings``."""
    return tuple(_leaves(RunRecord, ""))


def _leaves(struct: type[msgspec.Struct], prefix: str) -> Iterable[str]:
    types = get_type_hints(struct)
    for name in struct.__struct_fields__:
        inner = types[name]
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def _write_json(runs: Iterable[RunRecord], stream: TextIO) -> int:
    count = 0
    stream.write("[")
    for run in runs:
        stream.write(",\n" if count else "\n")
        stream.write(json.encode(run).decode())
        count += 1
    stream.write("\n]\n")
    return count


def _write_csv(runs: Iterable[RunRecord], stream: TextIO) -> int:
    return write_csv(columns(), (_values(run, columns()) for run in runs), stream)


def _write_markdown(runs: Iterable[RunRecord], stream: TextIO) -> int:
    stream.write(row(MARKDOWN_COLUMNS) + row("---" for _ in MARKDOWN_COLUMNS))
    count = 0
    for run in runs:
        stream.write(row(map(cell, _values(run, MARKDOWN_COLUMNS))))
        count += 1
    return count


def _values(run: RunRecord, paths: Iterable[str]) -> list[Any]:
    """The record's leaves as JSON has them, so that every format tells the same."""
    tree = msgspec.json.decode(json.encode(run))
    values = []
    for path in paths:
        value = tree
        for key in path.split("."):
            value = value[key]
        values.append(value)
    return values
