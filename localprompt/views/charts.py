"""The geometry of charts: quantities in, positions in per cent out.

A page lays its charts out by itself, at any width and without a script, because every horizontal
and vertical position is a share of the plot (0 to 100, from the left and from the top) and all
text keeps its size. Three kinds are enough: bars (one row per cell: a value with its interval, or a
sum of parts), panels (small plots side by side, one per cell, on one common scale, so that no
legend and no colour has to tell lines apart) and scatter (numbered points, for one figure against
another).

All carry their figures as text as well. Who cannot see the marks reads the same from the rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from localprompt.records.bench import Summary
from localprompt.units import Quantity, unit_for
from localprompt.views.figures import quantity, summary_text

TICKS = 4
"""About how many a scale gets: a phone shows as many without overlap."""

_APART = 7.0
"""Per cent of the width between two points of a scatter chart, so that their numbers fit."""

_GUTTER = 13.0
"""Per cent of a panel's width that its axis labels need on a phone."""


class Tick(msgspec.Struct, frozen=True):
    position: float
    """0 to 100."""
    label: str


class Scale(msgspec.Struct, frozen=True):
    """A linear axis."""

    low: float
    high: float
    ticks: tuple[Tick, ...]
    unit: str

    def position(self, value: float) -> float:
        """Where ``value`` lies, 0 to 100; beyond the ends, at the end."""
        if self.high == self.low:
            return 0.0
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)


class BarPart(msgspec.Struct, frozen=True):
    start: float
    width: float
    series: int
    """Which of the palette's colours, from 0."""


class Bar(msgspec.Struct, frozen=True):
    """A row: its name, its figure in words, and the same drawn."""

    name: str
    text: str
    parts: tuple[BarPart, ...]
    interval: tuple[float, float] | None = None
    """Ends of the whisker."""
    mark: float | None = None
    """A line across the bar: the median, a measured total."""
    note: str = ""


class Panel(msgspec.Struct, frozen=True):
    """One small plot of values in their order."""

    name: str
    text: str
    """What the plot shows, in words."""
    points: tuple[tuple[float, float], ...]
    """x from the left, y from the top."""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    """Positions from the top."""
    band: tuple[float, float] | None = None
    """Top and bottom of the shaded interval."""
    beside: tuple[tuple[float, float], ...] = ()
    """A second line over the same axes, dashed."""


class Point(msgspec.Struct, frozen=True):
    """One point of a scatter chart."""

    name: str
    """Written beside it: a number."""
    text: str
    """Name and figures in words."""
    x: float
    """0 to 100, from the left."""
    y: float
    """0 to 100, from below."""
    interval: tuple[float, float]
    """Lower and upper end of the vertical whisker."""


def nice_ticks(low: float, high: float, count: int = TICKS) -> tuple[float, ...]:
    """About ``count`` round numbers between ``low`` and ``high``: multiples of 1, 2 or 5 × 10^k."""
    if not high > low:
        return (low,)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(i * step for i in range(first, last + 1))


def scale(low: float, high: float, kind: Quantity | None) -> Scale:
    """An axis whose ticks are round in the unit that people read: 50 ms, 256 MiB."""
    unit, size = ("", 1.0) if kind is None else unit_for(high, kind)
    bare = Scale(low, high, (), unit)
    ticks = tuple(
        Tick(bare.position(value * size), f"{value:g}")
        for value in nice_ticks(low / size, high / size)
    )
    return Scale(low, high, ticks, unit)


def interval_bars(
    metric: str, rows: Sequence[tuple[str, Summary]]
) -> tuple[tuple[Bar, ...], Scale]:
    """Medians as bars from zero, each with the 95 % interval as a whisker."""
    ends = (s.interval.high if s.interval else s.median for _, s in rows)
    axis = scale(0.0, max(ends, default=0.0), quantity(metric))
    bars = []
    for name, summary in rows:
        middle, interval = axis.position(summary.median), summary.interval
        bars.append(
            Bar(
                name=name,
                text=summary_text(metric, summary),
                parts=(BarPart(0.0, middle, 0),),
                interval=(axis.position(interval.low), axis.position(interval.high))
                if interval
                else None,
            )
        )
    return tuple(bars), axis


def stack(axis: Scale, sizes: Sequence[float]) -> tuple[BarPart, ...]:
    """Parts one after the other; the series is the part's index, and empty ones are left out."""
    parts, end = [], 0.0
    for series, size in enumerate(sizes):
        start, end = end, end + size
        left, right = axis.position(start), axis.position(end)
        if right > left:
            parts.append(BarPart(left, round(right - left, 2), series))
    return tuple(parts)


def apart(points: Sequence[Point]) -> tuple[Point, ...]:
    """Points moved sideways as far as they would cover each other; in the order given."""
    gap = min(_APART, 90.0 / max(1, len(points)))
    ranked = sorted(range(len(points)), key=lambda index: points[index].x)
    at = [0.0] * len(points)
    least = 0.0
    for index in ranked:
        at[index] = max(points[index].x, least)
        least = at[index] + gap
    most = 100.0 - _APART / 2
    for index in reversed(ranked):
        at[index] = min(at[index], most)
        most = at[index] - gap
    return tuple(
        msgspec.structs.replace(point, x=round(x, 2)) for point, x in zip(points, at, strict=True)
    )


def panel(
    name: str,
    text: str,
    values: Sequence[float],
    axis: Scale,
    band: tuple[float, float] | None = None,
    first: int = 1,
) -> Panel:
    """``values`` from left to right, numbered from ``first``, on a common vertical axis."""
    numbers = Scale(float(first), float(first + max(1, len(values) - 1)), (), "")

    def across(number: float) -> float:
        """Right of the vertical axis' labels, which stand inside the plot."""
        return round(_GUTTER + (98 - _GUTTER) * numbers.position(number) / 100, 2)

    def down(value: float) -> float:
        return round(100 - axis.position(value), 2)

    whole = [n for n in nice_ticks(numbers.low, numbers.high) if n == int(n)]
    return Panel(
        name=name,
        text=text,
        points=tuple((across(i), down(value)) for i, value in enumerate(values, start=first)),
        x_ticks=tuple(Tick(across(n), f"{n:g}") for n in whole),
        y_ticks=tuple(Tick(round(100 - tick.position, 2), tick.label) for tick in axis.ticks),
        band=None if band is None else (down(band[1]), down(band[0])),
    )
