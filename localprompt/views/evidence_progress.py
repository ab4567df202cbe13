"""Progress of the evidence on stderr: a line for each experiment, and what is being done now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

from localprompt.records.evidence import EvidenceReport, Finding
from localprompt.units import format_seconds
from localprompt.views.evidence_text import headline, verdict_kind
from localprompt.views.language import Language
from localprompt.views.terminal import Terminal


class EvidenceProgress:
    """Says what is being done; made by :func:`evidence_progress`."""

    def __init__(self, console: Console, status: Status, language: Language) -> None:
        self._console = console
        self._status = status
        self._say = language
        self._expected = 0.0
        self._began = time.monotonic()

    def begin(self, report: EvidenceReport) -> None:
        """Before the first experiment: how long it will take."""
        self._expected = sum(plan.expected_seconds for plan in report.plans)
        count = f"{len(report.plans)} experiment{'' if len(report.plans) == 1 else 's'}"
        self._line(f"{count}, about {format_seconds(self._expected)} on 2 cores")

    def step(self, text: str) -> None:
        """What is being done now."""
        left = max(0.0, self._expected - (time.monotonic() - self._began))
        self._status.update(f"{text}  [about {format_seconds(left)} left in all]")

    def found(self, report: EvidenceReport, finding: Finding, *, reused: bool) -> None:
        """An experiment is through."""
        say = self._say
        plan = next(plan for plan in report.plans if plan.number == finding.number)
        when = f"reused, of {finding.made_at[:16]}" if reused else format_seconds(finding.seconds)
        verdict = say(f"verdict.{verdict_kind(finding)}")
        title = say(f"experiments.{finding.name}.title")
        self._line(f"{finding.number:>2} {title}: {verdict} ({when})")
        self._line(f"   {headline(plan, finding, say)}")

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def evidence_progress(language: Language) -> Iterator[EvidenceProgress]:
    """A status line on a terminal, lines alone elsewhere."""
    console = Terminal(stderr=True)
    status = Status("", console=console)
    progress = EvidenceProgress(console, status, language)
    if not console.is_terminal or console.no_color:
        yield progress
        return
    with status:
        yield progress
