"""A bench in the terminal: the plan before it runs, the figures after.

The table has two forms. Where there is room, every label has a column and every figure one line.
In 80 columns the labels share one column, margins stand under their medians and shares of the
limit under their rates. Nothing depends on colour: failed, refused and warned are words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from localprompt.records.bench import (
    BenchResult,
    CellResult,
    Experiment,
    LimitShare,
    PlannedCell,
    RefusedCell,
)
from localprompt.records.run import RunWarning
from localprompt.units import UNKNOWN, format_bytes, format_seconds
from localprompt.views.figures import (
    cell_name,
    cell_status,
    label_names,
    label_text,
    repetition_bounds,
    repetitions_text,
    sample_count,
    short_share_text,
    summary_text,
)

_RATES = ("prefill_tokens_per_second", "decode_tokens_per_second")


def print_plan(experiment: Experiment, console: Console) -> None:
    """What is going to be executed, what is refused and why, and how long it may take."""
    labels = label_names(cell.labels for cell in experiment.cells)
    # Every cell has a workload; it is a label only where there are several.
    names = [name for name in labels if name != "workload"]
    table = _table()
    for name in (*names, "workload"):
        table.add_column(name, overflow="fold")
    table.add_column("one repetition", justify="right", no_wrap=True)
    for cell in experiment.cells:
        values = [cell.labels.get(name, UNKNOWN) for name in names]
        table.add_row(*map(Text, (*values, cell.workload)), format_seconds(cell.estimated_seconds))
    if experiment.cells:
        console.print(table)
    _print_refused(experiment.refused, console)
    console.print(Text(estimate_line(experiment)))


def estimate_line(experiment: Experiment) -> str:
    """``4 cells × 5 to 30 repetitions, estimated 40 s to 4 min 00 s``; loads come on top."""
    cells, repetitions = experiment.cells, experiment.repetitions
    count = f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
    known = [cell.estimated_seconds for cell in cells if cell.estimated_seconds is not None]
    line = f"{count} × {repetitions_text(repetitions)}"
    if not known:
        return f"{line}; how long they take is unknown until the first ones have run"
    least, most = repetition_bounds(repetitions)
    times = [format_seconds(sum(known) * n) for n in dict.fromkeys((least, most))]
    at_least = "at least " if len(known) < len(cells) else ""
    return f"{line}: estimated {at_least}{' to '.join(times)}, loads and warm-ups not counted"


def print_bench(result: BenchResult, console: Console) -> None:
    """All cells with their figures; then warnings, refused cells and failures."""
    experiment = result.experiment
    console.print(Text(f"{experiment.title}  ({experiment.id})", style="bold"))
    if result.cells:
        console.print(bench_table(result.cells, console))
        console.print(Text(_legend(result.cells), style="dim"))
    _print_warnings(result, console)
    _print_refused(experiment.refused, console)
    failures = [(cell_name(cell), cell.failure.cause) for cell in result.cells if cell.failure]
    _print_reasons("failed", failures, console)
    if not result.complete:
        console.print(Text("\nincomplete: --resume runs what is missing", style="bold"))


def bench_table(cells: Sequence[CellResult], console: Console) -> Table:
    """One row per cell, in the form that fits the console."""
    wide = _wide_table(cells)
    needed = Measurement.get(console, console.options.update(width=10_000), wide).maximum
    return wide if needed <= console.width else _narrow_table(cells)


def _wide_table(cells: Sequence[CellResult]) -> Table:
    table = _table()
    names = label_names(cell.cell.labels for cell in cells)
    for name in names or ("workload",):
        table.add_column(name, no_wrap=True)
    for name in ("n", "TTFT", "prefill", "of limit", "decode", "of limit", "peak RSS", "load"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for cell in cells:
        labels = cell.cell.labels
        table.add_row(
            *(Text(labels.get(name, UNKNOWN)) for name in names),
            *(() if names else (Text(cell.cell.workload),)),
            str(sample_count(cell)),
            _figure(cell, "ttft_seconds"),
            _figure(cell, _RATES[0]),
            short_share_text(cell.prefill_limit),
            _figure(cell, _RATES[1]),
            short_share_text(cell.decode_limit),
            _peak(cell),
            _load(cell),
            cell_status(cell),
        )
    return table


def _narrow_table(cells: Sequence[CellResult]) -> Table:
    table = _table(leading=1)
    table.add_column("cell", overflow="fold")
    for name in ("n", "TTFT", "prefill\ntok/s", "decode\ntok/s", "peak RSS", "load"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for cell in cells:
        prefill, decode = (
            _stacked(_figure(cell, metric)).replace(" tok/s", "") for metric in _RATES
        )
        table.add_row(
            Text("\n".join(_label_lines(cell.cell))),
            str(sample_count(cell)),
            _stacked(_figure(cell, "ttft_seconds")),
            _below(prefill, cell.prefill_limit),
            _below(decode, cell.decode_limit),
            _peak(cell),
            _load(cell),
            cell_status(cell),
        )
    return table


def _table(leading: int = 0) -> Table:
    return Table(box=None, pad_edge=False, header_style="bold", leading=leading)


def _figure(cell: CellResult, metric: str) -> str:
    return summary_text(metric, cell.metrics.get(metric))


def _peak(cell: CellResult) -> str:
    return format_bytes(cell.memory.peak_rss_bytes if cell.memory else None)


def _load(cell: CellResult) -> str:
    load = cell.metrics.get("load_seconds")
    return format_seconds(load.median if load else None)


def _stacked(figure: str) -> str:
    """``92.4 ± 0.4 ms`` over two lines, so that its column is half as wide."""
    return figure.replace(" ± ", "\n± ").replace(" (n<6)", "\n(n<6)")


def _below(figure: str, limit: LimitShare | None) -> str:
    return figure if limit is None else f"{figure}\n{short_share_text(limit)}"


def _label_lines(cell: PlannedCell) -> Iterable[str]:
    for name, value in cell.labels.items():
        yield value if name == "model" else f"{name} {value}"
    if not cell.labels:
        yield cell.workload


def _legend(cells: Sequence[CellResult]) -> str:
    parts = ["median ± half its 95 % interval over n repetitions"]
    if any(cell.prefill_limit or cell.decode_limit for cell in cells):
        parts.append(
            "of limit: share of the estimated rate that memory bandwidth (mem) or "
            "arithmetic (arith) allows"
        )
    return "; ".join(parts)


def _print_warnings(result: BenchResult, console: Console) -> None:
    """Grouped by advice: the same noise in ten cells is one thing to do."""
    groups: dict[str, list[str]] = {}
    for where, warning in _located_warnings(result):
        groups.setdefault(warning.advice, []).append(f"{where}{warning.message}")
    if groups:
        console.print(Text("\nwarnings", style="bold"))
    for advice, messages in groups.items():
        for message in messages:
            console.print(_item(message))
        if advice:
            console.print(_item(f"→ {advice}", indent=4))


def _located_warnings(result: BenchResult) -> Iterable[tuple[str, RunWarning]]:
    yield from (("", warning) for warning in result.warnings)
    for cell in result.cells:
        yield from ((f"{cell_name(cell)}: ", warning) for warning in cell.warnings)


def _print_refused(refused: Iterable[RefusedCell], console: Console) -> None:
    reasons = [(label_text(cell.labels), cell.reason) for cell in refused]
    _print_reasons("refused, not tried", reasons, console)


def _print_reasons(heading: str, reasons: list[tuple[str, str]], console: Console) -> None:
    if reasons:
        console.print(Text(f"\n{heading}", style="bold"))
    for name, reason in reasons:
        console.print(_item(f"{name}: {reason}" if name else reason))


def _item(text: str, indent: int = 2) -> Padding:
    return Padding(Text(text), (0, 0, 0, indent), expand=False)
