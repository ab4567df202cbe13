"""The evidence: its verdicts in text, and a page for people who have never trained a model.

First how many reasons held, which, and the figures that decided on two axes; then one section for
each experiment: hypothesis, verdict, charts, figures, and behind them the method and the rule that
was fixed before; last how to read all that. A plan without findings makes the same page, on which
nothing has a verdict yet.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import msgspec
from rich.console import Console

from localprompt.records.evidence import (
    Condition,
    EvidenceReport,
    Figure,
    Finding,
    Plan,
    Rule,
    Unit,
)
from localprompt.units import format_bytes
from localprompt.views.evidence_charts import deciding_charts, group_chart
from localprompt.views.evidence_text import (
    adapter_facts,
    figure_name,
    guessed_unit,
    headline,
    subtitle,
    verdict_kind,
)
from localprompt.views.figures import moment_text
from localprompt.views.html import render_page, words_in
from localprompt.views.language import DEFAULT, Language
from localprompt.views.markdown import block_markdown
from localprompt.views.sections import (
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
    return render_page(say("page.title"), subtitle(report, say), sections, words_in(say))


def print_evidence(report: EvidenceReport, say: Language, console: Console) -> None:
    """One row for each experiment."""
    print_blocks([_verdicts(report, say)], console)


def evidence_markdown(report: EvidenceReport, language: Language | None = None) -> str:
    """The same as Markdown: what the README leads with."""
    say = language or Language(DEFAULT)
    table = block_markdown(_verdicts(report, say))
    return f"{table}\n*({subtitle(report, say)})*\n"


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


def _overview(report: EvidenceReport, say: Language) -> Section:
    """What came out, in the order in which it is looked for: how many, which, how sure."""
    blocks: list[Block] = []
    if report.findings:
        blocks.append(_tally(report, say))
    lines = tuple(_line(plan, report.finding(plan.number), say) for plan in report.plans)
    blocks.append(Verdicts(lines))
    blocks += deciding_charts(report, say)
    return Section("verdicts", say("page.overview"), tuple(blocks))


def _tally(report: EvidenceReport, say: Language) -> Facts:
    found = Counter(verdict_kind(finding) for finding in report.findings)
    kinds = ("supported", "not-supported", "not-shown")
    return Facts(
        tuple(Fact(say(f"verdict.{kind}"), str(found[kind])) for kind in kinds), prominent=True
    )


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


def _experiment(plan: Plan, finding: Finding | None, say: Language) -> Section:
    """The hypothesis and what was found; method and rule behind it."""
    key = f"experiments.{plan.name}"
    blocks: list[Block] = [Prose((Paragraph(say(f"{key}.hypothesis"), say("page.hypothesis")),))]
    blocks += _earlier(plan, finding, say)
    blocks += () if finding is None else _found(finding, say)
    how = tuple(
        Paragraph(say(f"{key}.{part}"), say(f"page.{part}")) for part in ("method", "limits")
    )
    blocks.append(Prose(how, folded=say("page.how") if finding else ""))
    rule = tuple(Paragraph(fact.value, f"{fact.name}:") for fact in _rule(plan.rule, finding, say))
    blocks.append(Prose(rule, folded=say("page.rule") if finding else ""))
    return Section(_id(plan), f"{plan.number}. {say(f'{key}.title')}", tuple(blocks))


def _earlier(plan: Plan, finding: Finding | None, say: Language) -> Iterator[Block]:
    """That the finding is of an earlier edition than the words beside it, where it is."""
    made = re.search(r"edition (\d+)", finding.inputs.get("experiment", "")) if finding else None
    now = say(f"experiments.{plan.name}.edition")
    if made is not None and made[1] != now:
        yield Notices(
            (Notice(say("page.earlier_mark"), say("page.earlier", was=made[1], now=now)),)
        )


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
        yield group_chart(group, say)
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


def _environment(report: EvidenceReport, say: Language) -> Section:
    machine, model = report.machine, report.model
    facts = [
        Fact(say("page.model"), f"{model.name}, {model.quantization or ''}".strip(", ")),
        Fact(say("page.sha256"), model.sha256 or "–"),
        *adapter_facts(report.adapters, say),
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
