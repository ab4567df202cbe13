"""A bench as csv, json, jsonl and Markdown.

json is the whole :class:`~localprompt.records.bench.BenchResult`, raw samples included. csv and
jsonl are flat, for spreadsheets and data frames: one row per cell × quantity, in these columns:

    experiment_id, created_at, machine_id      which bench, when, where
    label_<name> …                             what tells the cells apart
    workload, cell, status, cause              the cell, and why it failed or was refused
    metric, unit, source                       the quantity: timing or memory pass, or estimated
    n, median, mean, … interval_high           in ``unit``

The figures of one row are of one quantity, so their unit stands in the row: as ``unit``, and as
the ending of ``metric`` (``ttft_seconds``). A cell without any figure has one row with an empty
``metric``. What the memory pass measured once has n = 1. In csv, texts that a spreadsheet would run
as a formula are defused as in exports of runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

import msgspec

from localprompt.records.bench import BenchResult, CellResult, LimitShare, Summary
from localprompt.views.bench import bench_markdown
from localprompt.views.figures import cell_status, label_names, quantity
from localprompt.views.files.rows import ExportFormat, Record, write_jsonl, write_records_csv

STATISTICS = (
    "n",
    "median",
    "mean",
    "stdev",
    "p5",
    "p95",
    "minimum",
    "maximum",
    "interval_low",
    "interval_high",
)
_UNITS = {"seconds": "s", "bytes": "B", "per_second": "tok/s", None: ""}


def write_bench(result: BenchResult, format: ExportFormat, stream: TextIO) -> None:  # noqa: A002
    """Write the bench to ``stream``: text, UTF-8, opened with ``newline=""`` where it is a file."""
    match format:
        case "md":
            stream.write(bench_markdown(result))
        case "json":
            stream.write(msgspec.json.encode(result).decode() + "\n")
        case "jsonl":
            write_jsonl(bench_rows(result), stream)
        case "csv":
            write_records_csv(bench_rows(result), stream)


def bench_rows(result: BenchResult) -> Iterator[Record]:
    """Every cell × quantity as a flat row; all rows have the same keys in the same order."""
    experiment = result.experiment
    names = label_names(
        [cell.cell.labels for cell in result.cells]
        + [refused.labels for refused in experiment.refused]
    )

    def row(labels: dict[str, str], about: Record, figures: Record) -> Record:
        return {
            "experiment_id": experiment.id,
            "created_at": experiment.created_at,
            "machine_id": result.machine.id,
            **{f"label_{name}": labels.get(name) for name in names},
            **dict.fromkeys(("workload", "cell", "status", "cause")),
            **about,
            **dict.fromkeys(("metric", "unit", "source", *STATISTICS)),
            **figures,
        }

    for cell in result.cells:
        about = {
            "workload": cell.cell.workload,
            "cell": cell.cell.key,
            "status": cell_status(cell),
            "cause": cell.failure.cause if cell.failure else None,
        }
        figures = [*_figures(cell)] or [{}]
        yield from (row(cell.cell.labels, about, one) for one in figures)
    for refused in experiment.refused:
        yield row(refused.labels, {"status": "refused", "cause": refused.reason}, {})


def _figures(cell: CellResult) -> Iterator[Record]:
    for metric, summary in cell.metrics.items():
        yield {**_named(metric, "timing pass"), **_statistics(summary)}
    if cell.cold_load_seconds is not None:
        yield {**_named("cold_load_seconds", "timing pass"), **_single(cell.cold_load_seconds)}
    if cell.memory is not None:
        for metric in cell.memory.__struct_fields__:
            value = getattr(cell.memory, metric)
            source = "estimated" if metric.startswith("predicted") else "memory pass"
            if value is not None:
                yield {**_named(metric, source), **_single(value)}
    yield from _limit("prefill", cell.prefill_limit)
    yield from _limit("decode", cell.decode_limit)


def _limit(phase: str, limit: LimitShare | None) -> Iterator[Record]:
    if limit is not None:
        rate = f"{phase}_limit_tokens_per_second"
        yield {**_named(rate, "estimated"), **_single(limit.limit_tokens_per_second)}
        yield {**_named(f"{phase}_limit_share", "estimated"), **_single(limit.share)}


def _named(metric: str, source: str) -> Record:
    return {"metric": metric, "unit": _UNITS[quantity(metric)], "source": source}


def _single(value: float) -> Record:
    return {"n": 1, **dict.fromkeys(("median", "mean", "minimum", "maximum"), value)}


def _statistics(summary: Summary) -> Record:
    interval = summary.interval
    return {
        **{name: getattr(summary, name) for name in STATISTICS[:-2]},
        "interval_low": interval.low if interval else None,
        "interval_high": interval.high if interval else None,
    }
