"""Charts of the evidence: the figures that decided on two axes, and one chart for each group."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator

import msgspec

from localprompt.records.evidence import EvidenceReport, Figure, Group, Plan
from localprompt.units import Quantity
from localprompt.views.charts import Bar, BarPart, Scale, Tick, nice_ticks, scale
from localprompt.views.evidence_text import figure_name
from localprompt.views.language import Language
from localprompt.views.sections import BarChart


def deciding_charts(report: EvidenceReport, say: Language) -> Iterator[BarChart]:
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
        low = math.floor(min(0.0, *logs))
        high = min(math.ceil(max(0.0, *logs)), sys.float_info.max_exp - 1)
        bare = Scale(low, high, (), "")
        step = max(1, round((high - low) / 6))
        ticks = (Tick(bare.position(n), _times(n, say)) for n in range(low, high + 1, step))
        doubled = Scale(low, high, tuple(ticks), "")

        def position(ratio: float) -> float:
            return doubled.position(math.log2(ratio) if ratio > 0 else low)

        yield _decided("ratios", ratios, doubled, position, 1.0, say)


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


def group_chart(group: Group, say: Language) -> BarChart:
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
