"""Two benches side by side, in the terminal, in Markdown and as JSON.

For each quantity of each cell: both medians, the ratio B / A, the difference B − A with its 95 %
interval, and a verdict in words. A verdict names a direction only where the interval leaves out
zero, and then says whether that direction is the good one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console

from localprompt.records import json
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
from localprompt.views.markdown import markdown
from localprompt.views.sections import Block, Column, Lines, Row, Section, Table, Value
from localprompt.views.terminal import print_blocks

_COLUMNS = (
    Column("cell", label="group"),
    Column("quantity"),
    Column("A", numeric=True),
    Column("B", numeric=True),
    Column("B / A", numeric=True),
    Column("B − A", numeric=True),
    Column("95 % interval of B − A", numeric=True, below=True),
    Column("verdict"),
)


def verdict_text(row: ComparisonRow) -> str:
    """``lower (better)``, ``higher (worse)``, ``no difference shown`` or ``too few samples``."""
    verdict = row.comparison.verdict
    if verdict not in ("lower", "higher"):
        return verdict
    return f"{verdict} ({'better' if verdict == better(row.metric) else 'worse'})"


def print_comparison(comparison: BenchComparison, console: Console) -> None:
    """The table, then the cells without a counterpart."""
    print_blocks(_blocks(comparison), console)


def comparison_markdown(comparison: BenchComparison) -> str:
    return markdown([Section("comparison", "", tuple(_blocks(comparison)))], 3)


def comparison_json(comparison: BenchComparison) -> str:
    """The whole record; raw samples included."""
    return json.encode(comparison).decode() + "\n"


def comparison_sections(comparison: BenchComparison) -> tuple[Section, ...]:
    """The comparison as a page shows it."""
    return (Section("comparison", "Differences", tuple(_blocks(comparison))),)


def _blocks(comparison: BenchComparison) -> Iterator[Block]:
    sides = (("A", comparison.a), ("B", comparison.b))
    yield Lines(tuple(f"{side}  {_experiment_line(one)}" for side, one in sides), quiet=False)
    if comparison.rows:
        yield Table(_legend(comparison.rows), _COLUMNS, tuple(map(_row, comparison.rows)))
    else:
        yield Lines(("no cell was measured in both: nothing to compare",), quiet=False)
    if unmatched := tuple(_unmatched(comparison)):
        yield Lines(unmatched, quiet=False)


def _row(row: ComparisonRow) -> Row:
    comparison, metric = row.comparison, row.metric
    cell, difference = label_text(row.labels), comparison.difference
    return Row(
        f"{cell}, {title(metric)}",
        (
            Value(cell, cell),
            Value(title(metric), title(metric)),
            Value(summary_text(metric, comparison.a), comparison.a.median),
            Value(summary_text(metric, comparison.b), comparison.b.median),
            Value(
                UNKNOWN if comparison.ratio is None else f"{comparison.ratio:.3f}",
                comparison.ratio,
            ),
            Value(value_text(metric, difference), difference),
            Value(interval_text(metric, comparison.difference_interval)),
            Value(verdict_text(row), verdict_text(row)),
        ),
    )


def _experiment_line(experiment: Experiment) -> str:
    return f"{experiment.title}  ({experiment.id}, {experiment.created_at})"


def _legend(rows: Iterable[ComparisonRow]) -> str:
    directions: dict[str, list[str]] = {}
    for metric in dict.fromkeys(row.metric for row in rows):
        directions.setdefault(better(metric), []).append(title(metric))
    parts = [f"{direction} is better: {', '.join(of)}" for direction, of in directions.items()]
    return "; ".join(["median ± half its 95 % interval", *parts])


def _unmatched(comparison: BenchComparison) -> Iterator[str]:
    yield from comparison.remarks
    for side, cells in (("A", comparison.only_in_a), ("B", comparison.only_in_b)):
        for labels in cells:
            yield f"only in {side}: {label_text(labels) or 'a cell without labels'}"
