"""The evidence: its verdicts in text, and a page for people who have never trained a model.

First how many reasons held, which, and the figures that decided on two axes; then one section for
each experiment: hypothesis, verdict, charts, figures, and behind them the method and the rule that
was fixed before; last how to read all that. A plan without findings makes the same page, on which
nothing has a verdict yet.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
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
    sections.append(_how_to_read(report, say))
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
    """What came out, in the order in which it is looked for: how many, which, how sure."""
    blocks: list[Block] = []
    if report.findings:
        blocks.append(_tally(report, say))
    lines = tuple(_line(plan, report.finding(plan.number), say) for plan in report.plans)
    blocks.append(Verdicts(lines))
    blocks += _deciding(report, say)
    return Section("verdicts", say("page.overview"), tuple(blocks))


def _tally(report: EvidenceReport, say: Language) -> Facts:
    found = Counter(verdict_kind(finding) for finding in report.findings)
    kinds = ("supported", "not-supported", "not-shown")
    return Facts(
        tuple(Fact(say(f"verdict.{kind}"), str(found[kind])) for kind in kinds), prominent=True
    )


def _deciding(report: EvidenceReport, say: Language) -> Iterator[BarChart]:
    """The figures that decided, with their intervals and the bound of the rule on one axis: one
    for gains in points, one for how many times as much."""
    points: list[tuple[Plan, Figure]] = []
    ratios: list[tuple[Plan, Figure]] = []
    for plan in report.plans:
        finding = report.finding(plan.number)
        for figure in finding.figures if finding else ():
            decides = any(c.figure == figure.name for c in finding.rule.supported)  # type: ignore[union-attr]
            if decides and figure.interval is not None:
                where = {"points": points, "ratio": ratios}.get(figure.unit)
                if where is not None:
                    where.append((plan, figure))
    if points:
        ends = [e for _, f in points for e in (_lowest(f), _highest(f))]
        axis = _points_axis(min(0.0, *ends), max(0.0, *ends), say)
        yield _decided("points", points, axis, axis.position, 0.0, say)
    if ratios:
        logs = [math.log2(e) for _, f in ratios for e in (_lowest(f), _highest(f)) if e > 0]
        low, high = math.floor(min(0.0, *logs)), math.ceil(max(0.0, *logs))
        bare = Scale(low, high, (), "")
        step = max(1, round((high - low) / 6))
        ticks = (Tick(bare.position(n), _times(n, say)) for n in range(low, high + 1, step))
        doubled = Scale(low, high, tuple(ticks), "")
        yield _decided(
            "ratios", ratios, doubled, lambda v: doubled.position(math.log2(v)), 1.0, say
        )


def _decided(
    name: str,
    found: list[tuple[Plan, Figure]],
    axis: Scale,
    position: Callable[[float], float],
    bound: float,
    say: Language,
) -> BarChart:
    bars = []
    for plan, figure in found:
        end, start = position(figure.value), position(bound)
        bars.append(
            Bar(
                name=f"{plan.number}. {figure_name(figure, say)}",
                text=say.quantity(figure.value, figure.unit),
                parts=(
                    BarPart(
                        min(start, end),
                        round(abs(end - start), 2),
                        int(figure.basis == "estimated"),
                    ),
                ),
                interval=(position(_lowest(figure)), position(_highest(figure))),
                mark=start,
            )
        )
    return BarChart(
        say(f"page.deciding_{name}"),
        say(f"page.deciding_{name}_caption"),
        tuple(bars),
        axis,
        legend=(say("page.measured"), say("page.estimated")),
        mark_legend=say("page.bound"),
    )


def _times(power: int, say: Language) -> str:
    return f"{say.number(f'{2.0**power:g}')}×"


def _how_to_read(report: EvidenceReport, say: Language) -> Section:
    scale_of = say("page.scale", parameters=say.quantity(report.model.parameters or 0, "count"))
    texts = [say(f"page.{key}") for key in ("intro", "reading", "basis")]
    words = ("token", "weights", "heldout", "full", "perplexity")
    return Section(
        "reading",
        say("page.how_to_read"),
        (
            Prose(tuple(Paragraph(text) for text in (*texts, scale_of))),
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
    """The hypothesis and what was found; method and rule behind it."""
    key = f"experiments.{plan.name}"
    blocks: list[Block] = [Prose((Paragraph(say(f"{key}.hypothesis"), say("page.hypothesis")),))]
    blocks += () if finding is None else _found(finding, say)
    how = tuple(
        Paragraph(say(f"{key}.{part}"), say(f"page.{part}")) for part in ("method", "limits")
    )
    blocks.append(Prose(how, folded=say("page.how") if finding else ""))
    rule = tuple(Paragraph(fact.value, f"{fact.name}:") for fact in _rule(plan.rule, finding, say))
    blocks.append(Prose(rule, folded=say("page.rule") if finding else ""))
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
    for group in finding.groups:
        yield _chart(group, say)
    if finding.figures:
        yield _table(finding.figures, say)
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


def _rule(rule: Rule, finding: Finding | None, say: Language) -> tuple[Fact, ...]:
    units: dict[str, Unit] = {f.name: f.unit for f in finding.figures} if finding else {}

    def side(conditions: tuple[Condition, ...], join: str) -> str:
        texts = [say.condition(c, units.get(c.figure) or guessed_unit(c)) for c in conditions]
        joined = "; ".join(texts)
        return joined if len(texts) == 1 else say(f"rule.{join}", conditions=joined)

    return (
        Fact(say("rule.supported"), side(rule.supported, "all")),
        Fact(say("rule.refuted"), side(rule.refuted, "any")),
        Fact(say("rule.otherwise"), say("rule.otherwise_text")),
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
        tuple(_bar(figure, axis, say, group.chance) for figure in group.figures),
        axis,
        legend=(say("page.measured"), say("page.estimated")) if estimated else (),
        mark_legend="" if group.chance is None else say("page.chance"),
    )


def _axis(group: Group, say: Language) -> Scale:
    unit = group.figures[0].unit
    if unit in {"share", "points"}:
        low = 0.0 if unit == "share" else min(0.0, *(_lowest(f) for f in group.figures))
        high = 1.0 if unit == "share" else max(0.0, *(_highest(f) for f in group.figures))
        return _points_axis(low, high, say)
    quantities: dict[str, Quantity] = {"bytes": "bytes", "seconds": "seconds"}
    highest = max(_highest(figure) for figure in group.figures)
    return localized(scale(0.0, highest, quantities.get(unit)), say)


def _points_axis(low: float, high: float, say: Language) -> Scale:
    """Of shares and their differences, in per cent."""
    bare = Scale(low, high, (), "%")
    ticks = (
        Tick(bare.position(v / 100), say.number(f"{v:g}"))
        for v in nice_ticks(100 * low, 100 * high)
    )
    return Scale(low, high, tuple(ticks), "%")


def localized(axis: Scale, say: Language) -> Scale:
    """The axis with its numbers written as the language does."""
    ticks = (msgspec.structs.replace(t, label=say.number(t.label)) for t in axis.ticks)
    return msgspec.structs.replace(axis, ticks=tuple(ticks))


def _bar(figure: Figure, axis: Scale, say: Language, chance: float | None) -> Bar:
    zero, end = axis.position(0.0), axis.position(figure.value)
    series = int(figure.basis == "estimated")
    interval = figure.interval
    return Bar(
        name=figure_name(figure, say),
        text=say.quantity(figure.value, figure.unit),
        parts=(BarPart(min(zero, end), round(abs(end - zero), 2), series),),
        interval=(axis.position(interval.low), axis.position(interval.high)) if interval else None,
        mark=None if chance is None else axis.position(chance),
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
