"""Prompting beside fine-tuning as one page and one table.

What speaks for either side stands first, in two lists of the same kind; then memory to scale beside
what laptops have, CPU time over the number of answers, and everything in one table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import Console

from localprompt.records.contrast import ContrastReport, Curve, Judged, Way, Winner
from localprompt.records.evidence import Figure
from localprompt.units import format_bytes
from localprompt.views.charts import Bar, BarPart, Panel, Scale, Tick, nice_ticks, scale
from localprompt.views.evidence_charts import localized
from localprompt.views.evidence_text import adapter_facts, subtitle
from localprompt.views.html import render_page, words_in
from localprompt.views.language import Language
from localprompt.views.sections import (
    BarChart,
    Block,
    Column,
    Fact,
    Facts,
    Lines,
    PanelChart,
    Paragraph,
    Prose,
    Row,
    Section,
    Table,
    Value,
)
from localprompt.views.terminal import print_blocks

QUANTITIES = (
    "score",
    "memory",
    "answering_memory",
    "time_to_first_answer",
    "time_per_change",
    "cpu_per_change",
    "cpu_per_answer",
    "usd_per_change",
    "usd_per_thousand",
    "disk",
    "examples",
)
_GUTTER = 13.0
"""Per cent of a panel's width that its axis labels need on a phone."""
_LEAST_ANSWERS = 1000.0
_LAPTOP = 16 * 1024**3
"""What many laptops have in all."""
_MOST_DRAWN = 2.0**60
"""Bytes; nothing has more."""
_SIDES: tuple[tuple[str, Winner], ...] = (
    ("for_prompting", "prompting"),
    ("for_tuning", "tuning"),
    ("undecided", "undecided"),
)


def contrast_page(report: ContrastReport, language: Language) -> str:
    """The whole page; to be written as UTF-8."""
    say = language
    sections = [
        Section("short", say("contrast.overview"), tuple(_short(report, say))),
        Section("memory", say("contrast.memory_chart"), (_memory(report, say),)),
        Section("answers", say("contrast.curves"), tuple(_curves(report, say))),
        Section("table", say("contrast.table"), tuple(_tables(report, say))),
        Section("environment", say("page.environment"), (_environment(report, say),)),
    ]
    title = say("contrast.title", suite=report.suite)
    return render_page(title, subtitle(report, say), sections, words_in(say))


def print_contrast(report: ContrastReport, say: Language, console: Console) -> None:
    """What speaks for either side, then everything in tables."""
    print_blocks(_tables(report, say), console)
    lines = [f"{title}: {text}" for title, text in sides(report, say)]
    lines += _limits(report, say)
    print_blocks([Lines(tuple(lines), quiet=False)], console)


def _short(report: ContrastReport, say: Language) -> Iterator[Block]:
    """The headline that follows from the figures, then the figures, then how to read them."""
    if report.judged:
        yield Lines((headline(report.judged, say),), quiet=False)
        yield _judged(report.judged, say)
    limits = tuple(map(Paragraph, _limits(report, say)))
    if limits:
        yield Prose(limits)
    read = [Paragraph(say("contrast.intro"))]
    if report.judged:
        read.append(Paragraph(_compared(report, say)))
    read.append(Paragraph(say("contrast.advice_text")))
    yield Prose(tuple(read), folded=say("contrast.advice"))


def _limits(report: ContrastReport, say: Language) -> list[str]:
    """What was not done here, and what therefore is not known."""
    found = []
    if report.adapters:
        names = " + ".join(use.label for use in report.adapters)
        found.append(say("contrast.elsewhere", adapters=names))
    if report.prevented is not None:
        found.append(say("contrast.not_tuned", reason=report.prevented))
    if report.unsearched is not None:
        found.append(say("contrast.not_searched", reason=report.unsearched))
    return found


def _compared(report: ContrastReport, say: Language) -> str:
    """Which two ways are judged, and how."""
    first = [curve.name for curve in report.curves] or [report.ways[0].name]
    names = report.compared or tuple(first)
    if report.adapters:
        return say("contrast.compared_elsewhere", prompt=names[0], tuned=names[-1])
    return say("contrast.compared", prompt=names[0])


def headline(judged: tuple[Judged, ...], say: Language) -> str:
    """``Fine-tuning answers better (90 % against 50 %); prompting is better in 6 of the 7 other
    quantities, fine-tuning in 1.``"""
    score = next((one for one in judged if one.quantity == "score"), None)
    others = [one for one in judged if one.quantity != "score"]
    parts = []
    if score is not None:
        parts.append(
            say(
                f"contrast.headline_{score.winner}",
                prompting=say.quantity(score.prompting.value, score.prompting.unit),
                tuning=say.quantity(score.tuning.value, score.tuning.unit),
            )
        )
    parts.append(
        say(
            "contrast.headline_rest",
            prompting=str(sum(one.winner == "prompting" for one in others)),
            tuning=str(sum(one.winner == "tuning" for one in others)),
            total=str(len(others)),
        )
    )
    return " ".join(parts)


def sides(report: ContrastReport, say: Language) -> list[tuple[str, str]]:
    """What speaks for prompting, what for tuning, and what cannot be told apart."""
    if not report.judged:
        return []
    return [
        (say(f"contrast.{title}"), _list(report.judged, winner, say)) for title, winner in _SIDES
    ]


def _list(judged: tuple[Judged, ...], winner: Winner, say: Language) -> str:
    items = [
        say(
            "contrast.item",
            quantity=say(f"quantities.{one.quantity}"),
            prompting=say.quantity(one.prompting.value, one.prompting.unit),
            tuning=say.quantity(one.tuning.value, one.tuning.unit),
        )
        for one in judged
        if one.winner == winner
    ]
    return "; ".join(items) or say("contrast.nothing")


def way_name(way: Way, say: Language) -> str:
    return say(f"contrast.{way.kind}", name=f"{way.name}, {way.model}")


def figure_text(figure: Figure | None, say: Language) -> str:
    """``512 MiB (500 MiB to 530 MiB)``; what is not marked as estimated was measured."""
    if figure is None:
        return "–"
    mark = say("contrast.estimated_mark") if figure.basis == "estimated" else None
    inside = ", ".join(part for part in (say.interval(figure), mark) if part)
    spread = f" ({inside})" if inside else ""
    about = f", {figure.about}" if figure.about else ""
    return f"{say.quantity(figure.value, figure.unit)}{spread}{about}"


def _memory(report: ContrastReport, say: Language) -> BarChart:
    """On an axis of doublings: what a small model takes and what a large one does are both to be
    seen, and a laptop is a line across all of them."""
    shown = [(way, figure) for way in report.ways if (figure := way.figure("memory"))]
    values = (v for _, f in shown for v in (_low(f), f.value, _high(f)))
    ends = [_drawn(value) for value in values] or [float(_LAPTOP)]
    low = math.floor(math.log2(min(ends)))
    high = math.ceil(math.log2(max(*ends, 2.0 * _LAPTOP)))
    bare = Scale(low, high, (), "")
    step = max(1, round((high - low) / 5))
    ticks = tuple(
        Tick(bare.position(n), say.number(format_bytes(2**n))) for n in range(low, high + 1, step)
    )
    axis = Scale(low, high, ticks, "")

    def position(size: float) -> float:
        return axis.position(math.log2(_drawn(size)))

    bars = tuple(
        Bar(
            name=way_name(way, say),
            text=say.quantity(figure.value, figure.unit),
            parts=(BarPart(0.0, position(figure.value), int(figure.basis == "estimated")),),
            interval=(position(_low(figure)), position(_high(figure))) if figure.interval else None,
            mark=position(_LAPTOP),
        )
        for way, figure in shown
    )
    legend = (say("page.measured"), say("page.estimated"))
    title, caption = say("contrast.memory_chart"), say("contrast.memory_caption")
    laptop = say("contrast.laptop", size=say.number(format_bytes(_LAPTOP)))
    return BarChart(title, caption, bars, axis, legend, laptop)


def _drawn(size: float) -> float:
    """A size that has a place on the axis: in a file from elsewhere anything can stand."""
    return min(max(size, 1.0), _MOST_DRAWN)


def _low(figure: Figure) -> float:
    return figure.interval.low if figure.interval else figure.value


def _high(figure: Figure) -> float:
    return figure.interval.high if figure.interval else figure.value


def _curves(report: ContrastReport, say: Language) -> Iterator[Block]:
    if report.adapters:
        yield Prose((Paragraph(_when_it_pays(report.answers_for_an_hour, say)),))
    if not report.curves:
        return
    if report.break_even is None:
        text = say("contrast.never")
    else:
        text = say("contrast.break_even", answers=say.quantity(report.break_even.value, "count"))
    most = _rounded(2 * report.break_even.value if report.break_even else _LEAST_ANSWERS)
    highest = max(c.start_seconds + most * c.per_answer_seconds for c in report.curves)
    axis = localized(scale(0.0, highest, "seconds"), say)
    panels = (_panel(report.curves, most, axis, say),)
    title, caption = say("contrast.curves"), say("contrast.curves_caption")
    yield Prose((Paragraph(text),))
    yield PanelChart(title, caption, panels, axis.unit, say("contrast.answers"))


def _when_it_pays(answers: Figure | None, say: Language) -> str:
    """What can be said of a training that nobody saw."""
    if answers is None:
        return say("contrast.never_elsewhere")
    return say("contrast.pays_elsewhere", answers=say.quantity(answers.value, "count"))


def _panel(curves: Sequence[Curve], most: float, axis: Scale, say: Language) -> Panel:
    """Straight lines over the same axes: from what the change costs to what it and ``most``
    answers cost."""
    numbers = Scale(0.0, most, (), "")
    lines = [
        tuple(
            (
                _across(numbers, n),
                100 - axis.position(one.start_seconds + n * one.per_answer_seconds),
            )
            for n in (0.0, most)
        )
        for one in curves
    ]
    texts = (
        f"{one.name}: "
        + say(
            "contrast.curve_text",
            start=say.quantity(one.start_seconds, "seconds"),
            answer=say.quantity(one.per_answer_seconds, "seconds"),
        )
        for one in curves
    )
    names = [one.name for one in curves]
    return Panel(
        name=say("contrast.lines", solid=names[0], dashed=names[-1]) if names[1:] else names[0],
        text="; ".join(texts),
        points=lines[0],
        x_ticks=tuple(
            Tick(_across(numbers, n), say.number(f"{n:,.0f}")) for n in nice_ticks(0.0, most, 3)
        ),
        y_ticks=tuple(Tick(round(100 - t.position, 2), t.label) for t in axis.ticks),
        beside=lines[1] if len(lines) > 1 else (),
    )


def _across(numbers: Scale, answers: float) -> float:
    """Right of the vertical axis' labels, which stand inside the plot."""
    return round(_GUTTER + (98 - _GUTTER) * numbers.position(answers) / 100, 2)


def _rounded(answers: float) -> float:
    """Up to the next round number, so that the axis ends on one."""
    ticks = nice_ticks(0.0, max(answers, _LEAST_ANSWERS))
    step = ticks[1] - ticks[0]
    return ticks[-1] if ticks[-1] >= answers else ticks[-1] + step


def _tables(report: ContrastReport, say: Language) -> Iterator[Table]:
    """Quantities down, ways across; a table for each model, because all would be too wide."""
    caption = say("contrast.table_caption", cases=say.number(f"{report.cases:,}"))
    for model in dict.fromkeys(way.model for way in report.ways):
        ways = [way for way in report.ways if way.model == model]
        names = [name for name in QUANTITIES if any(way.figure(name) for way in ways)]
        yield Table(
            caption,
            (
                Column(say("contrast.quantity")),
                *(Column(way_name(way, say), numeric=True) for way in ways),
            ),
            tuple(
                Row(
                    say(f"quantities.{name}"),
                    (
                        Value(say(f"quantities.{name}")),
                        *(_value(way.figure(name), say) for way in ways),
                    ),
                )
                for name in names
            ),
        )


def _judged(judged: tuple[Judged, ...], say: Language) -> Table:
    """Both sides quantity by quantity, and who is better."""
    columns = (
        Column(say("contrast.quantity")),
        Column(say("contrast.side_prompting"), numeric=True),
        Column(say("contrast.side_tuning"), numeric=True),
        Column(say("contrast.better")),
    )
    rows = tuple(
        Row(
            say(f"quantities.{one.quantity}"),
            (
                Value(say(f"quantities.{one.quantity}")),
                _value(one.prompting, say),
                _value(one.tuning, say),
                Value(say(f"contrast.winner_{one.winner}")),
            ),
        )
        for one in sorted(judged, key=lambda one: one.quantity != "score")
    )
    return Table(say("contrast.judged_caption"), columns, rows)


def _value(figure: Figure | None, say: Language) -> Value:
    return Value(figure_text(figure, say), None if figure is None else figure.value)


def _environment(report: ContrastReport, say: Language) -> Facts:
    machine, model = report.machine, report.model
    return Facts(
        (
            Fact(say("page.model"), f"{model.name}, {model.quantization or '–'}"),
            Fact(say("page.sha256"), model.sha256 or "–"),
            *adapter_facts(report.adapters, say),
            Fact(say("page.machine"), f"{machine.cpu or '–'}, {machine.physical_cores or '–'}"),
            Fact(say("page.memory"), say.number(format_bytes(machine.memory_bytes))),
            Fact(say("page.version"), report.localprompt_version),
        )
    )
