"""The five charts of a bench.

TTFT, prefill, decode     one bar per cell, from zero, with its 95 % interval
memory                    weights, KV cache, compute buffers and the rest, per cell; the same
                          once more against all of the machine's memory
drift                     each repetition's time as a share of the cell's median
inter-token latency       the gap before each token, median over the repetitions
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from localprompt.records.bench import BenchResult, CellResult, Summary
from localprompt.records.run import Machine, Memory
from localprompt.units import UNKNOWN, format_bytes, format_seconds
from localprompt.views.charts import Bar, Scale, interval_bars, panel, scale, stack
from localprompt.views.figures import (
    MEMORY_PARTS,
    better,
    cell_name,
    memory_parts,
    rest_bytes,
    title,
    value_text,
)
from localprompt.views.sections import BarChart, Block, PanelChart

_RATES = {
    "ttft_seconds": ("TTFT", "From the request to the first text, without load."),
    "prefill_tokens_per_second": ("Prefill", "Tokens of the prompt evaluated per second."),
    "decode_tokens_per_second": ("Decode", "Tokens generated per second."),
}
_DRIFT_METRICS = (
    "total_seconds",
    "ttft_seconds",
    "prefill_tokens_per_second",
    "decode_tokens_per_second",
)
"""What tells drift best, first choice first; a synthetic cell may have no time of its own."""
_LEAST_DEVIATION = 0.1
"""The drift charts reach at least this far on both sides, so that calm looks calm."""


def chart_blocks(result: BenchResult) -> Iterator[Block]:
    """The charts for which there are figures."""
    for metric, (heading, caption) in _RATES.items():
        rows = [(cell_name(c), c.metrics[metric]) for c in result.cells if metric in c.metrics]
        if rows:
            bars, axis = interval_bars(metric, rows)
            reading = "Shorter" if better(metric) == "lower" else "Longer"
            text = f"{caption} Median with its 95 % interval. {reading} is better."
            yield BarChart(f"{heading}, {axis.unit}", text, bars, axis)
    yield from _memory_charts(result)
    yield from _drift_chart(result.cells)
    yield from _gap_chart(result.cells)


def memory_limit(machine: Machine) -> int | None:
    """What a process may use at most: the machine's memory, or a container's share of it."""
    known = [n for n in (machine.memory_bytes, machine.memory_limit_bytes) if n is not None]
    return min(known, default=None)


def _memory_charts(result: BenchResult) -> Iterator[BarChart]:
    rows = [(cell_name(cell), cell.memory) for cell in result.cells if cell.memory is not None]
    largest = max((_extent(memory) for _, memory in rows), default=0)
    if largest == 0:
        return
    axis = scale(0.0, largest, "bytes")
    legend = (*map(title, MEMORY_PARTS), "rest")
    yield BarChart(
        f"Peak memory by its parts, {axis.unit}",
        "Weights, KV cache and compute buffers as llama.cpp reports them; the rest is Python, "
        "libraries and tables. Mapped weights that were never read are not resident, so parts may "
        "exceed the peak.",
        tuple(_memory_bar(name, memory, axis, _parts_text(memory)) for name, memory in rows),
        axis,
        legend,
        mark_legend="peak RSS",
    )
    total = memory_limit(result.machine)
    if total is None:
        return
    whole = scale(0.0, total, "bytes")
    yield BarChart(
        f"The same against all {format_bytes(total)} of the machine's memory, {whole.unit}",
        "What may be used at most, other programs not counted.",
        tuple(_memory_bar(name, memory, whole, _share_of(memory, total)) for name, memory in rows),
        whole,
        legend,
        mark_legend="peak RSS",
    )


def _memory_bar(name: str, memory: Memory, axis: Scale, note: str) -> Bar:
    peak = memory.peak_rss_bytes
    return Bar(
        name=name,
        text=format_bytes(peak),
        parts=stack(axis, _sizes(memory)),
        mark=None if peak is None else axis.position(peak),
        note=note,
    )


def _sizes(memory: Memory) -> tuple[int, ...]:
    """Known parts in the order of the legend; a peak whose parts are unknown is all rest."""
    rest = rest_bytes(memory)
    known = [part or 0 for part in memory_parts(memory).values()]
    if rest is None:
        rest = max(0, (memory.peak_rss_bytes or 0) - sum(known))
    return (*known, rest)


def _extent(memory: Memory) -> int:
    return max(memory.peak_rss_bytes or 0, sum(_sizes(memory)))


def _parts_text(memory: Memory) -> str:
    parts = (*memory_parts(memory).items(), ("rest", rest_bytes(memory)))
    return " + ".join(f"{title(name)} {format_bytes(size)}" for name, size in parts)


def _share_of(memory: Memory, total: int) -> str:
    peak = memory.peak_rss_bytes
    return UNKNOWN if peak is None else f"{100 * peak / total:.1f} % of {format_bytes(total)}"


def _drift_chart(cells: Sequence[CellResult]) -> Iterator[PanelChart]:
    chosen = [(cell_name(cell), *found) for cell in cells if (found := _drifting(cell))]
    if not chosen:
        return
    shares = [[sample / s.median for sample in s.samples] for _, _, s in chosen]
    furthest = max(abs(share - 1) for series in shares for share in series)
    reach = max(_LEAST_DEVIATION, furthest * 1.05)
    axis = scale(100 * max(0.0, 1 - reach), 100 * (1 + reach), None)
    panels = tuple(
        panel(name, _drift_text(metric, summary), [100 * s for s in series], axis, _band(summary))
        for (name, metric, summary), series in zip(chosen, shares, strict=True)
    )
    yield PanelChart(
        "Latency over the repetitions, % of the median",
        "Each repetition in the order of execution. A slope is drift: heat, other load. "
        "Shaded: the 95 % interval of the median.",
        panels,
        "%",
        "repetition",
    )


def _drifting(cell: CellResult) -> tuple[str, Summary] | None:
    for metric in _DRIFT_METRICS:
        summary = cell.metrics.get(metric)
        if summary is not None and summary.n > 1 and summary.median > 0:
            return metric, summary
    return None


def _drift_text(metric: str, summary: Summary) -> str:
    low, middle, high = (
        value_text(metric, value) for value in (summary.minimum, summary.median, summary.maximum)
    )
    return f"{title(metric)}: {summary.n} repetitions, {low} to {high}, median {middle}"


def _band(summary: Summary) -> tuple[float, float] | None:
    if summary.interval is None:
        return None
    low, high = summary.interval.low, summary.interval.high
    return 100 * low / summary.median, 100 * high / summary.median


def _gap_chart(cells: Sequence[CellResult]) -> Iterator[PanelChart]:
    rows = [(cell_name(c), c.token_gaps_seconds) for c in cells if len(c.token_gaps_seconds) > 1]
    if not rows:
        return
    axis = scale(0.0, max(max(gaps) for _, gaps in rows), "seconds")
    yield PanelChart(
        f"Inter-token latency, {axis.unit}",
        "The gap before each token after the first, median over the repetitions.",
        tuple(panel(name, _gap_text(gaps), gaps, axis, first=2) for name, gaps in rows),
        axis.unit,
        "token",
    )


def _gap_text(gaps: Sequence[float]) -> str:
    longest = max(range(len(gaps)), key=gaps.__getitem__)
    low, middle, high = map(format_seconds, (min(gaps), median(gaps), max(gaps)))
    return f"{len(gaps)} gaps, {low} to {high}, median {middle}; longest before token {longest + 2}"
