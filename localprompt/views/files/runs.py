"""Runs as files for other tools: csv, json, jsonl and Markdown.

json (an array, one run a line) and jsonl hold the complete record, as ``--json`` prints it. csv
and md are flat: a column for each leaf of the record, named by its path (``timing.ttft_seconds``);
the list is read off the records' own structure, so a field added there is a column here.
Lists and objects (parameters, messages, warnings) are JSON inside their cell. Unknown is null in
json and an empty cell elsewhere.

Runs are written as they come, so a history of any size takes no more memory than one run.

What a model answered is written by nobody who can be trusted. In csv a text that a spreadsheet
would run as a formula (it begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return) gets
an apostrophe in front; numbers do not, and whoever needs the bare text takes jsonl. In md all
characters that mean something to Markdown or HTML are escaped: a cell cannot break the table, load
an image or carry a script.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, TextIO, get_type_hints

import msgspec

from localprompt.records import json
from localprompt.records.run import RunRecord

ExportFormat = Literal["csv", "json", "jsonl", "md"]

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

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_CSV_SPECIAL = re.compile('[,"\r\n]')
_MARKDOWN_SPECIAL = re.compile(r"[\\`*_\[\]<>|~&$]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def write_runs(runs: Iterable[RunRecord], format: ExportFormat, stream: TextIO) -> int:  # noqa: A002
    """Write every run to ``stream``, each as soon as it is there.

    Args:
        stream: text; UTF-8, and opened with ``newline=""`` where it is a file.

    Returns:
        How many runs were written.
    """
    writers = {"csv": _write_csv, "json": _write_json, "jsonl": _write_jsonl, "md": _write_markdown}
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


def _write_jsonl(runs: Iterable[RunRecord], stream: TextIO) -> int:
    count = 0
    for run in runs:
        stream.write(json.encode(run).decode() + "\n")
        count += 1
    return count


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
    stream.write(",".join(columns()) + "\n")
    count = 0
    for run in runs:
        stream.write(",".join(_csv_cell(value) for value in _values(run, columns())) + "\n")
        count += 1
    return count


def _write_markdown(runs: Iterable[RunRecord], stream: TextIO) -> int:
    stream.write(_markdown_row(MARKDOWN_COLUMNS))
    stream.write(_markdown_row("---" for _ in MARKDOWN_COLUMNS))
    count = 0
    for run in runs:
        values = _values(run, MARKDOWN_COLUMNS)
        stream.write(_markdown_row(_markdown_cell(value) for value in values))
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


def _text(value: Any) -> str:
    """None → empty; text as it is; numbers, true and false as in JSON; the rest as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _csv_cell(value: Any) -> str:
    text = _text(value)
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        text = f"'{text}"
    # By hand, because csv.writer leaves a lone carriage return bare, which readers take for an end
    # of line, unless every line ends in one.
    return '"{}"'.format(text.replace('"', '""')) if _CSV_SPECIAL.search(text) else text


def _markdown_cell(value: Any) -> str:
    lines = re.split(r"\r\n|\r|\n", _text(value))
    return "<br>".join(_escape_markdown(line) for line in lines)


def _escape_markdown(line: str) -> str:
    visible = _CONTROL.sub(lambda match: _picture(match[0]), line)
    return _MARKDOWN_SPECIAL.sub(r"\\\g<0>", visible)


def _picture(control: str) -> str:
    """The visible picture of a control character: ␛ for ESC, so that no terminal obeys it."""
    code = ord(control)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "\ufffd"


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
