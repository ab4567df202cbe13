"""The charts of an evaluation: pass rates, and what they cost in time and in memory.

In the two scatter charts a point is one prompt × model, known by its number; the list below gives
its name and its figures. The vertical axis is always all of 0 to 100 %, so that a small difference
looks small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from localprompt.records.evaluation import EvalResult, PassRate, TargetSummary
from localprompt.units import Quantity, format_bytes, format_seconds
from localprompt.views.charts import Bar, BarPart, Point, apart, scale
from localprompt.views.eval_text import rate_text, target_name
from localprompt.views.sections import BarChart, Block, ScatterChart
from localprompt.views.translation import to_translate, translated

_Cost = Callable[[TargetSummary], float | None]


HOW_TO_READ = to_translate(
    "Upwards and to the left is better; the line is the 95 % interval of the rate."
)
"""Below a chart of pass rates against what they cost."""


def eval_charts(result: EvalResult) -> Iterator[Block]:
    """The charts for which there are figures."""
    rated = [summary for summary in result.targets if summary.passes.rate is not None]
    if rated:
        yield _rates(rated)
    at_once = max((use.parallel for use in result.uses), default=1)
    yield from _against(
        rated,
        "TTFT, batched",
        translated(
            f"Median TTFT over the cases, batched: taken while up to {at_once} ran at once. It "
            "tells the prompts of this evaluation apart and is not for comparison with a bench."
        ),
        lambda summary: summary.ttft_seconds,
        "seconds",
    )
    peaks = _peaks(result)
    yield from _against(
        rated,
        "peak memory",
        translated("Peak RSS of the process since the model was opened, so one figure per model."),
        lambda summary: peaks.get(summary.target.model.name),
        "bytes",
    )


def _rates(summaries: list[TargetSummary]) -> BarChart:
    axis = scale(0.0, 100.0, None)
    bars = []
    for summary in summaries:
        passes = summary.passes
        low, high = _ends(passes)
        bars.append(
            Bar(
                name=target_name(summary),
                text=rate_text(passes),
                parts=(BarPart(0.0, axis.position(100 * (passes.rate or 0.0)), 0),),
                interval=(axis.position(low), axis.position(high)),
            )
        )
    caption = to_translate("Share of the scored results that passed, with its 95 % interval.")
    return BarChart("Pass rate, %", caption, tuple(bars), axis)


def _against(
    summaries: list[TargetSummary], cost: str, caption: str, of: _Cost, kind: Quantity
) -> Iterator[ScatterChart]:
    """Pass rate over a cost; targets whose cost is not known are left out and counted."""
    known = [(summary, value) for summary in summaries if (value := of(summary)) is not None]
    if not known:
        return
    text = format_bytes if kind == "bytes" else format_seconds
    across = scale(0.0, 1.1 * max(value for _, value in known), kind)
    up = scale(0.0, 100.0, None)
    points = []
    for number, (summary, value) in enumerate(known, start=1):
        low, high = _ends(summary.passes)
        points.append(
            Point(
                name=str(number),
                text=f"{target_name(summary)}: {rate_text(summary.passes)}, {cost} {text(value)}",
                x=across.position(value),
                y=up.position(100 * (summary.passes.rate or 0.0)),
                interval=(up.position(low), up.position(high)),
            )
        )
    missing = len(summaries) - len(known)
    parts = [
        caption,
        translated(HOW_TO_READ),
        *([translated(f"Not known for {missing}, which are left out.")] if missing else []),
    ]
    yield ScatterChart(
        f"{translated(f'Pass rate against {cost}')}, {across.unit}",
        " ".join(parts),
        apart(points),
        across,
        up,
    )


def _ends(passes: PassRate) -> tuple[float, float]:
    """Of the interval, in per cent."""
    if passes.interval is None:
        rate = 100 * (passes.rate or 0.0)
        return rate, rate
    return 100 * passes.interval.low, 100 * passes.interval.high


def _peaks(result: EvalResult) -> dict[str, int]:
    """By model; a resumed evaluation opens one more than once."""
    peaks: dict[str, int] = {}
    for use in result.uses:
        if (peak := use.memory.peak_rss_bytes) is not None:
            peaks[use.model] = max(peak, peaks.get(use.model, 0))
    return peaks
