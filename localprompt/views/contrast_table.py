"""The contrast in the terminal: quantities down, ways across, and what speaks for either side."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from localprompt.records.contrast import ContrastReport
from localprompt.views.html.contrast import QUANTITIES, figure_text, sides, way_name
from localprompt.views.language import Language


def print_contrast(report: ContrastReport, say: Language, console: Console) -> None:
    """Two tables, measured ways and estimated ones: side by side they would not fit."""
    for model in dict.fromkeys(way.model for way in report.ways):
        ways = [way for way in report.ways if way.model == model]
        table = Table(box=None, pad_edge=False)
        table.add_column(say("contrast.quantity"))
        for way in ways:
            table.add_column(way_name(way, say))
        for name in QUANTITIES:
            if any(way.figure(name) for way in ways):
                shown = (figure_text(way.figure(name), say) for way in ways)
                table.add_row(say(f"quantities.{name}"), *shown)
        console.print(table)
        console.print()
    for title, text in sides(report, say):
        console.print(f"{title}: {text}", markup=False)
    if report.prevented is not None:
        console.print(say("contrast.not_tuned", reason=report.prevented), markup=False)
