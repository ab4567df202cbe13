"""A choice among models as csv, json, Markdown and a page.

- csv: a row for each model and prompt, units in the names; for spreadsheets.
- json: the whole :class:`~localprompt.records.choice.ChoiceResult`.
- md and html: what the terminal shows, and the charts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TextIO

from localprompt.records import json
from localprompt.records.choice import ChoiceResult, ChoiceRow
from localprompt.stats.samples import Summary
from localprompt.views.choose import choice_markdown, choice_page, row_names
from localprompt.views.files.rows import write_csv

ChoiceFormat = Literal["csv", "json", "md", "html"]

_COLUMNS = (
    "prompt", "model", "quantization", "parameters", "size_bytes",
    "passed", "failed", "unscored", "pass_rate", "pass_rate_low", "pass_rate_high",
    "ttft_seconds", "ttft_seconds_low", "ttft_seconds_high",
    "decode_tokens_per_second",
    "answer_seconds", "answer_seconds_low", "answer_seconds_high",
    "peak_rss_bytes",
    "seconds_per_1000", "cpu_seconds_per_1000", "watt_hours_per_1000",
    "usd_per_1000_low", "usd_per_1000_typical", "usd_per_1000_high", "usd_basis",
    "on_front", "behind", "only_answer",
)  # fmt: skip


def write_choice(result: ChoiceResult, wanted: ChoiceFormat, stream: TextIO) -> None:
    if wanted == "csv":
        write_csv(_COLUMNS, _rows(result), stream)
    elif wanted == "json":
        stream.write(json.encode(result).decode() + "\n")
    else:
        stream.write(choice_markdown(result) if wanted == "md" else choice_page(result))


def _rows(result: ChoiceResult) -> Iterator[tuple[Any, ...]]:
    names = row_names(result)
    for row in result.rows:
        yield (*_quality(row), *_one_answer(row), *_thousand(row), row.on_front,
               "; ".join(names[index] for index in row.beaten_by) or None,
               row.only_answer)  # fmt: skip


def _quality(row: ChoiceRow) -> tuple[Any, ...]:
    model, passes = row.target.model, row.passes
    ends = passes.interval
    return (
        row.target.prompt,
        model.name,
        model.quantization,
        model.parameters,
        model.size_bytes,
        passes.passed,
        passes.failed,
        passes.unscored,
        passes.rate,
        None if ends is None else ends.low,
        None if ends is None else ends.high,
    )


def _one_answer(row: ChoiceRow) -> tuple[Any, ...]:
    decode = None if row.decode is None else row.decode.median
    return (*_ends(row.ttft), decode, *_ends(row.answer), row.peak_rss_bytes)


def _ends(summary: Summary | None) -> tuple[float | None, float | None, float | None]:
    if summary is None:
        return None, None, None
    ends = summary.interval
    return summary.median, None if ends is None else ends.low, None if ends is None else ends.high


def _thousand(row: ChoiceRow) -> tuple[Any, ...]:
    done = row.thousand
    if done is None:
        return (None,) * 7
    usd = done.usd
    return (
        done.seconds,
        done.cpu_seconds,
        done.watt_hours,
        usd.low,
        usd.typical,
        usd.high,
        done.basis,
    )
