"""Verdicts and figures of the evidence in words, in the reader's language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from localprompt.records.contrast import ContrastReport
from localprompt.records.evidence import Condition, EvidenceReport, Figure, Finding, Plan, Unit
from localprompt.records.model import AdapterUse
from localprompt.views.figures import moment_text
from localprompt.views.language import Language
from localprompt.views.sections import Fact


def verdict_kind(finding: Finding | None) -> str:
    """The verdict as a key of the texts."""
    return "not-run" if finding is None else finding.verdict.replace(" ", "-")


_ALSO = ("gain_of_tuning_all", "gain_of_tuning_over_search", "gain_general")
"""Figures that no rule looks at, and that nobody should miss who reads headlines only."""


def headline(plan: Plan, finding: Finding | None, say: Language) -> str:
    """The figures that the rule looks at, in words, and what stands beside them."""
    if finding is None:
        return say("page.expected", seconds=say.quantity(plan.expected_seconds, "seconds"))
    names = {*(condition.figure for condition in finding.rule.supported), *_ALSO}
    found = [_sentence(f, say) for f in finding.figures if f.name in names]
    if not found and finding.prevented:
        return f"{say('page.prevented')}: {finding.prevented}"
    return "; ".join(found)


def _sentence(figure: Figure, say: Language) -> str:
    text = f"{figure_name(figure, say)} {say.quantity(figure.value, figure.unit)}"
    basis = say(f"page.{figure.basis}") if figure.basis == "estimated" else None
    beside = ", ".join(part for part in (say.interval(figure), basis) if part)
    return f"{text} ({beside})" if beside else text


def figure_name(figure: Figure, say: Language) -> str:
    name = say(f"figures.{figure.name}")
    return f"{name}, {say.about(figure)}" if figure.about else name


def guessed_unit(condition: Condition) -> Unit:
    """What a figure is measured in before it was measured, by its name."""
    endings: tuple[tuple[str, Unit], ...] = (
        ("gain_", "points"),
        ("share_", "share"),
        ("score_", "share"),
        ("ratio_", "ratio"),
    )
    return next((unit for start, unit in endings if condition.figure.startswith(start)), "count")


def subtitle(report: EvidenceReport | ContrastReport, say: Language) -> str:
    """Which model, on which CPU, and when."""
    return say(
        "page.subtitle",
        model=report.model.name,
        cpu=report.machine.cpu or report.machine.id,
        date=moment_text(report.created_at),
    )


def adapter_facts(adapters: Iterable[AdapterUse], say: Language) -> Iterator[Fact]:
    """Which adapters were the tuned side."""
    for use in adapters:
        rank = "–" if use.rank is None else str(use.rank)
        about = say("contrast.adapter_facts", name=use.label, rank=rank, sha256=use.sha256)
        yield Fact(say("contrast.adapter"), about)
