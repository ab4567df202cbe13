"""The evidence: its verdicts in text, and a page for people who have never trained a model.

First what the two ways are and how to read a verdict, then the ten verdicts, then one section for
each experiment: hypothesis, method, the rule that was fixed before, and what was found. A plan
without findings makes the same page, on which nothing has a verdict yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import msgspec
from rich.console import Console

from localprompt.records.contrast import ContrastReport
from localprompt.records.evidence import (
    Condition,
    EvidenceReport,
    Figure,
    Finding,
    Group,
    Plan,
    Rule,
    Unit,
)
from localprompt.units import Quantity, format_bytes
from localprompt.views.charts import Bar, BarPart, Scale, Tick, nice_ticks, scale
from localprompt.views.figures import moment_text
from localprompt.views.html import PageWords, render_page
from localprompt.views.language import DEFAULT, Language
from localprompt.views.markdown import block_markdown
from localprompt.views.sections import (
    BarChart,
    Block,
    Column,
    Fact,
    Facts,
    Notice,
    Notices,
    Paragraph,
    Prose,
    Row,
    Section,
    Table,
    Value,
    text_table,
)
from localprompt.views.terminal import print_blocks


class VerdictLine(msgspec.Struct, frozen=True):
    number: int
    id: str
    title: str
    verdict: str
    kind: str
    """``supported``, ``not-supported``, ``not-shown`` or ``not-run``."""
    says: str
    """The figure behind it, in words."""


class Verdicts(Block, frozen=True):
    """One line for each experiment."""

    template: ClassVar[str] = "verdicts.html"
    assets: ClassVar[tuple[str, ...]] = ("prose.css",)
    items: tuple[VerdictLine, ...]


class SampleText(Block, frozen=True):
    """Text as it is, folded away at first."""

    template: ClassVar[str] = "sample.html"
    assets: ClassVar[tuple[str, ...]] = ("prose.css",)
    title: str
    text: str


def evidence_page(report: EvidenceReport, language: Language) -> str:
    """The whole page; to be written as UTF-8."""
    say = language
    sections = [_overview(report, say)]
    sections += [_experiment(plan, report.finding(plan.number), say) for plan in report.plans]
    sections.append(_environment(report, say))
    return render_page(say("page.title"), subtitle(report, say), sections, page_words(say))


def print_evidence(report: EvidenceReport, say: Language, console: Console) -> None:
    """One row for each experiment."""
    print_blocks([_verdicts(report, say)], console)


def evidence_markdown(report: EvidenceReport, language: Language | None = None) -> str:
    """The same as Markdown: what the README leads with."""
    say = language or Language(DEFAULT)
    table = block_markdown(_verdicts(report, say))
    return f"{table}\n*({subtitle(report, say)})*\n"


def subtitle(report: EvidenceReport | ContrastReport, say: Language) -> str:
    """Which model, on which CPU, and when."""
    return say(
        "page.subtitle",
        model=report.model.name,
        cpu=report.machine.cpu or report.machine.id,
        date=moment_text(report.created_at),
    )


def _verdicts(report: EvidenceReport, say: Language) -> Table:
    columns = (
        Column("", numeric=True),
        Column(say("page.title").partition(":")[0], prose=True),
        Column(say("page.figure"), prose=True),
        Column(say("page.verdict")),
    )
    lines = (_line(plan, report.finding(plan.number), say) for plan in report.plans)
    rows = ((str(line.number), line.title, line.says, line.verdict) for line in lines)
    return text_table("", columns, rows)


def page_words(say: Language) -> PageWords:
    """What stands around the sections, in this language."""
    names = [name for name in PageWords.__struct_fields__ if name != "language"]
    return PageWords(language=say.code, **{name: say(f"document.{name}") for name in names})


def _overview(report: EvidenceReport, say: Language) -> Section:
    texts = ("intro", "reading", "basis")
    scale_of = say("page.scale", parameters=say.quantity(report.model.parameters or 0, "count"))
    words = ("token", "weights", "heldout", "full", "perplexity")
    return Section(
        "verdicts",
        say("page.overview"),
        (
            Prose((*(Paragraph(say(f"page.{key}")) for key in texts), Paragraph(scale_of))),
            Verdicts(tuple(_line(plan, report.finding(plan.number), say) for plan in report.plans)),
            Prose(tuple(Paragraph(say(f"page.word_{key}")) for key in words)),
        ),
    )


def _line(plan: Plan, finding: Finding | None, say: Language) -> VerdictLine:
    kind = verdict_kind(finding)
    return VerdictLine(
        number=plan.number,
        id=_id(plan),
        title=say(f"experiments.{plan.name}.title"),
        verdict=say(f"verdict.{kind}"),
        kind=kind,
        says=headline(plan, finding, say),
    )


def verdict_kind(finding: Finding | None) -> str:
    """The verdict as a key of the texts."""
    return "not-run" if finding is None else finding.verdict.replace(" ", "-")


_ALSO = ("gain_of_tuning_all", "gain_general")
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


def _experiment(plan: Plan, finding: Finding | None, say: Language) -> Section:
    key = f"experiments.{plan.name}"
    prose = Prose(
        tuple(
            Paragraph(say(f"{key}.{part}"), say(f"page.{part}"))
            for part in ("hypothesis", "method", "limits")
        )
    )
    blocks: list[Block] = [prose, _rule(plan.rule, finding, say)]
    blocks += () if finding is None else _found(finding, say)
    return Section(_id(plan), f"{plan.number}. {say(f'{key}.title')}", tuple(blocks))


def _found(finding: Finding, say: Language) -> Iterator[Block]:
    yield Facts(
        (
            Fact(
                say("page.verdict"),
                say(f"verdict.{verdict_kind(finding)}"),
                say("page.took", seconds=say.quantity(finding.seconds, "seconds")),
            ),
        ),
        prominent=True,
    )
    if finding.prevented:
        yield Notices((Notice(say("page.prevented"), finding.prevented),))
    if finding.figures:
        yield _table(finding.figures, say)
    for group in finding.groups:
        yield _chart(group, say)
    if finding.notes:
        notes = (say(f"notes.{n.name}", **_numbers(n.values, say)) for n in finding.notes)
        yield Prose(tuple(Paragraph(text) for text in notes))
    for sample in finding.samples:
        yield SampleText(say(f"samples.{sample.name}", about=sample.about), sample.text)


def _numbers(values: dict[str, str], say: Language) -> dict[str, str]:
    """What fills the gaps of a note: numbers are written as the language does."""
    return {
        name: say.number(value) if value.replace(".", "").replace(",", "").isdigit() else value
        for name, value in values.items()
    }


def _rule(rule: Rule, finding: Finding | None, say: Language) -> Facts:
    units: dict[str, Unit] = {f.name: f.unit for f in finding.figures} if finding else {}

    def side(conditions: tuple[Condition, ...], join: str) -> str:
        texts = [say.condition(c, units.get(c.figure) or guessed_unit(c)) for c in conditions]
        joined = "; ".join(texts)
        return joined if len(texts) == 1 else say(f"rule.{join}", conditions=joined)

    return Facts(
        (
            Fact(say("rule.supported"), side(rule.supported, "all")),
            Fact(say("rule.refuted"), side(rule.refuted, "any")),
            Fact(say("rule.otherwise"), say("rule.otherwise_text")),
        )
    )


def guessed_unit(condition: Condition) -> Unit:
    """What a figure is measured in before it was measured, by its name."""
    endings: tuple[tuple[str, Unit], ...] = (
        ("gain_", "points"),
        ("share_", "share"),
        ("score_", "share"),
        ("ratio_", "ratio"),
    )
    return next((unit for start, unit in endings if condition.figure.startswith(start)), "count")


def _table(figures: tuple[Figure, ...], say: Language) -> Table:
    columns = (
        Column(say("page.figure")),
        Column(say("page.value"), numeric=True),
        Column(say("page.interval"), numeric=True),
        Column(say("page.n"), numeric=True),
        Column(say("page.basis_column")),
    )
    rows = tuple(
        Row(
            figure_name(figure, say),
            (
                Value(figure_name(figure, say)),
                Value(say.quantity(figure.value, figure.unit), figure.value),
                Value(say.interval(figure) or "–"),
                Value("–" if figure.n is None else say.number(f"{figure.n:,}"), figure.n),
                Value(say(f"page.{figure.basis}")),
            ),
        )
        for figure in figures
    )
    return Table(say("page.figures_caption"), columns, rows)


def _chart(group: Group, say: Language) -> BarChart:
    title, caption = say(f"groups.{group.name}.title"), say(f"groups.{group.name}.caption")
    axis = _axis(group, say)
    estimated = any(figure.basis == "estimated" for figure in group.figures)
    return BarChart(
        title,
        caption,
        tuple(_bar(figure, axis, say) for figure in group.figures),
        axis,
        legend=(say("page.measured"), say("page.estimated")) if estimated else (),
    )


def _axis(group: Group, say: Language) -> Scale:
    unit = group.figures[0].unit
    if unit in {"share", "points"}:
        low = 0.0 if unit == "share" else min(0.0, *(_lowest(f) for f in group.figures))
        high = 1.0 if unit == "share" else max(0.0, *(_highest(f) for f in group.figures))
        bare = Scale(low, high, (), "%")
        ticks = (
            Tick(bare.position(v / 100), say.number(f"{v:g}"))
            for v in nice_ticks(100 * low, 100 * high)
        )
        return Scale(low, high, tuple(ticks), "%")
    quantities: dict[str, Quantity] = {"bytes": "bytes", "seconds": "seconds"}
    highest = max(_highest(figure) for figure in group.figures)
    return localized(scale(0.0, highest, quantities.get(unit)), say)


def localized(axis: Scale, say: Language) -> Scale:
    """The axis with its numbers written as the language does."""
    ticks = (msgspec.structs.replace(t, label=say.number(t.label)) for t in axis.ticks)
    return msgspec.structs.replace(axis, ticks=tuple(ticks))


def _bar(figure: Figure, axis: Scale, say: Language) -> Bar:
    zero, end = axis.position(0.0), axis.position(figure.value)
    series = int(figure.basis == "estimated")
    interval = figure.interval
    return Bar(
        name=figure_name(figure, say),
        text=say.quantity(figure.value, figure.unit),
        parts=(BarPart(min(zero, end), round(abs(end - zero), 2), series),),
        interval=(axis.position(interval.low), axis.position(interval.high)) if interval else None,
    )


def _lowest(figure: Figure) -> float:
    return figure.interval.low if figure.interval else figure.value


def _highest(figure: Figure) -> float:
    return figure.interval.high if figure.interval else figure.value


def _environment(report: EvidenceReport, say: Language) -> Section:
    machine, model = report.machine, report.model
    facts = [
        Fact(say("page.model"), f"{model.name}, {model.quantization or ''}".strip(", ")),
        Fact(say("page.sha256"), model.sha256 or "–"),
        Fact(say("page.machine"), f"{machine.cpu or '–'}, {machine.physical_cores or '–'}"),
        Fact(say("page.memory"), say.number(format_bytes(machine.memory_bytes))),
        Fact(say("page.version"), report.localprompt_version),
        Fact(say("page.build"), machine.llama_cpp_build or "–"),
        Fact(say("page.again"), "localprompt evidence -o evidence.html"),
    ]
    facts += [
        Fact(f"{f.number}. {say('page.key')}", f.key[:16], moment_text(f.made_at))
        for f in report.findings
        if f.key
    ]
    return Section("environment", say("page.environment"), (Facts(tuple(facts)),))


def _id(plan: Plan) -> str:
    return f"experiment-{plan.number}"
