"""The verdicts as a Markdown table: what the README leads with."""

from __future__ import annotations

from localprompt.records.evidence import EvidenceReport
from localprompt.views.figures import moment_text
from localprompt.views.html.evidence import headline, verdict_kind
from localprompt.views.language import DEFAULT, Language


def evidence_markdown(report: EvidenceReport, language: Language | None = None) -> str:
    """One row for each experiment: the figures that its rule looks at, and the verdict."""
    say = language or Language(DEFAULT)
    lines = [
        f"| | | {say('page.figure')} | {say('page.verdict')} |",
        "| --- | --- | --- | --- |",
    ]
    for plan in report.plans:
        finding = report.finding(plan.number)
        cells = (
            str(plan.number),
            say(f"experiments.{plan.name}.title"),
            headline(plan, finding, say),
            say(f"verdict.{verdict_kind(finding)}"),
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    subtitle = say(
        "page.subtitle",
        model=report.model.name,
        cpu=report.machine.cpu or report.machine.id,
        date=moment_text(report.created_at),
    )
    return "\n".join([*lines, "", f"*({subtitle})*", ""])
