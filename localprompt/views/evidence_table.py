"""The verdicts in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from localprompt.records.evidence import EvidenceReport
from localprompt.views.html.evidence import headline, verdict_kind
from localprompt.views.language import Language


def print_evidence(report: EvidenceReport, say: Language, console: Console) -> None:
    """One row for each experiment."""
    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column(say("page.title").partition(":")[0], no_wrap=True)
    table.add_column(say("page.verdict"), no_wrap=True)
    table.add_column(say("page.figure"))
    for plan in report.plans:
        finding = report.finding(plan.number)
        table.add_row(
            str(plan.number),
            say(f"experiments.{plan.name}.title"),
            say(f"verdict.{verdict_kind(finding)}"),
            headline(plan, finding, say),
        )
    console.print(table)
