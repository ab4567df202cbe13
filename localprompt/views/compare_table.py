"""Two benches side by side, in the terminal, in Markdown and as JSON.

For each quantity of each cell: both medians, the ratio B / A, the difference B − A with its 95 %
interval, and a verdict in words. A verdict names a direction only where the interval leaves out
zero, and then says whether that direction is the good one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import msgspec
from rich.console import Console, JustifyMethod
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from localprompt.records.bench import BenchComparison, ComparisonRow, Experiment
from localprompt.units import UNKNOWN
from localprompt.views.figures import (
    better,
    interval_text,
    label_text,
    summary_text,
    title,
    value_text,
)
from localprompt.views.files.runs import _markdown_cell, _markdown_row

_COLUMNS = ("cell", "quantity", "A", "B", "B / A", "B − A", "95 % interval of B − A", "verdict")
_NARROW_WIDTHS = {"quantity": 10, "A": 11, "B": 11, "B / A": 5, "B − A": 18, "verdict": 14}


def verdict_text(row: ComparisonRow) -> str:
    """``lower (better)``, ``higher (worse)``, ``no difference shown`` or ``too few samples``."""
    verdict = row.comparison.verdict
    if verdict not in ("lower", "higher"):
        return verdict
    return f"{verdict} ({'better' if verdict == better(row.metric) else 'worse'})"


def print_comparison(comparison: BenchComparison, console: Console) -> None:
    """The table, as wide as the console allows, then the cells without a counterpart."""
    for side, experiment in (("A", comparison.a), ("B", comparison.b)):
        console.print(Text(f"{side}  {_experiment_line(experiment)}", style="bold"))
    if comparison.rows:
        if not _print_wide(_wide_table(comparison.rows), console):
            for part in _narrow_tables(comparison.rows):
                console.print(part)
        console.print(Text(_legend(comparison.rows), style="dim"))
    else:
        console.print(Text("\nno cell was measured in both: nothing to compare"))
    for line in _unmatched(comparison):
        console.print(Text(line))


def comparison_markdown(comparison: BenchComparison) -> str:
    lines = [
        f"- {side}: {_markdown_cell(_experiment_line(experiment))}\n"
        for side, experiment in (("A", comparison.a), ("B", comparison.b))
    ]
    lines += ["\n", _markdown_row(_COLUMNS), _markdown_row("---" for _ in _COLUMNS)]
    lines += [
        _markdown_row(_markdown_cell(cell) for cell in (label_text(row.labels), *_figures(row)))
        for row in comparison.rows
    ]
    lines += ["\n", f"{_markdown_cell(_legend(comparison.rows))}\n"]
    lines += [f"\n- {_markdown_cell(line)}" for line in _unmatched(comparison)]
    return "".join(lines).rstrip("\n") + "\n"


def comparison_json(comparison: BenchComparison) -> str:
    """The whole record; raw samples included."""
    return msgspec.json.encode(comparison).decode() + "\n"


def _print_wide(table: Table, console: Console) -> bool:
    """Print it if it fits; says whether it did."""
    needed = Measurement.get(console, console.options.update(width=10_000), table).maximum
    if needed <= console.width:
        console.print(table)
    return needed <= console.width


def _wide_table(rows: Sequence[ComparisonRow]) -> Table:
    table = _grid(_COLUMNS)
    for row in rows:
        table.add_row(*map(Text, (label_text(row.labels), *_figures(row))))
    return table


def _narrow_tables(rows: Sequence[ComparisonRow]) -> Iterator[Text | Table]:
    """For 80 columns: a cell is a heading above its quantities, an interval below its value."""
    for name, group in groupby(rows, key=lambda row: label_text(row.labels)):
        yield Text(f"\n{name}", style="bold")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading, width in _NARROW_WIDTHS.items():
            justify: JustifyMethod = "left" if heading in ("quantity", "verdict") else "right"
            table.add_column(heading, justify=justify, width=width)
        for row in group:
            quantity, a, b, ratio, difference, interval, verdict = _figures(row)
            stacked = (quantity, _stacked(a), _stacked(b), ratio, f"{difference}\n{interval}")
            table.add_row(*map(Text, (*stacked, verdict)))
        yield table


def _grid(headings: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        words = heading in ("cell", "quantity", "verdict")
        table.add_column(heading, justify="left" if words else "right", no_wrap=True)
    return table


def _figures(row: ComparisonRow) -> tuple[str, ...]:
    """The columns of the table after ``cell``."""
    comparison, metric = row.comparison, row.metric
    return (
        title(metric),
        summary_text(metric, comparison.a),
        summary_text(metric, comparison.b),
        UNKNOWN if comparison.ratio is None else f"{comparison.ratio:.3f}",
        value_text(metric, comparison.difference),
        interval_text(metric, comparison.difference_interval),
        verdict_text(row),
    )


def _stacked(figure: str) -> str:
    return figure.replace(" ± ", "\n± ").replace(" (n<6)", "\n(n<6)")


def _experiment_line(experiment: Experiment) -> str:
    return f"{experiment.title}  ({experiment.id}, {experiment.created_at})"


def _legend(rows: Iterable[ComparisonRow]) -> str:
    directions: dict[str, list[str]] = {}
    for metric in dict.fromkeys(row.metric for row in rows):
        directions.setdefault(better(metric), []).append(title(metric))
    parts = [f"{direction} is better: {', '.join(of)}" for direction, of in directions.items()]
    return "; ".join(["median ± half its 95 % interval", *parts])


def _unmatched(comparison: BenchComparison) -> Iterator[str]:
    for side, cells in (("A", comparison.only_in_a), ("B", comparison.only_in_b)):
        for labels in cells:
            yield f"only in {side}: {label_text(labels) or 'a cell without labels'}"
