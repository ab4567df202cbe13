"""How a measured quantity is called and written, the same in the terminal, Markdown and HTML.

A quantity is known by its field name, whose ending is its unit: ``ttft_seconds``,
``decode_tokens_per_second``, ``peak_rss_bytes``. A repeated one is written as its median and half
its 95 % interval, ``92.4 ± 0.4 ms``; where there are too few samples for an interval, it says so:
``92.4 ms (n<6)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from localprompt.records.bench import CellResult, Interval, LimitShare, Repetitions, Summary
from localprompt.records.run import Memory
from localprompt.units import (
    UNKNOWN,
    Quantity,
    format_bytes,
    format_range,
    format_rate,
    format_seconds,
    format_with_margin,
)

_TITLES = {
    "ttft_seconds": "TTFT",
    "prefill_tokens_per_second": "prefill",
    "decode_tokens_per_second": "decode",
    "itl_p50_seconds": "ITL p50",
    "itl_p95_seconds": "ITL p95",
    "total_seconds": "total time",
    "load_seconds": "load",
    "peak_rss_bytes": "peak RSS",
    "kv_cache_bytes": "KV cache",
}
_ENDINGS: dict[str, Quantity] = {
    "_per_second": "per_second",
    "_seconds": "seconds",
    "_bytes": "bytes",
}
_SHORT_LIMITS = {"memory bandwidth": "mem", "arithmetic": "arith"}
MEMORY_PARTS = ("weights_bytes", "kv_cache_bytes", "compute_bytes")
"""What llama.cpp accounts for; the rest of a peak is Python, libraries and tables."""


def title(metric: str) -> str:
    """``ttft_seconds`` → ``TTFT``; what has no short name keeps the words of its field."""
    ending = next((ending for ending in _ENDINGS if metric.endswith(ending)), "")
    return _TITLES.get(metric) or metric.removesuffix(ending).replace("_", " ")


def quantity(metric: str) -> Quantity | None:
    """What the name's ending says; None for a share or a count, which has no unit."""
    return next((kind for ending, kind in _ENDINGS.items() if metric.endswith(ending)), None)


def better(metric: str) -> Literal["lower", "higher"]:
    """Less time and less memory are better, and more of anything else."""
    return "lower" if quantity(metric) in ("seconds", "bytes") else "higher"


def value_text(metric: str, value: float | None) -> str:
    """One value with its unit."""
    match quantity(metric):
        case "seconds":
            return format_seconds(value)
        case "bytes":
            return format_bytes(value)
        case "per_second":
            return format_rate(value)
        case None:
            return UNKNOWN if value is None else f"{value:.3g}"


def summary_text(metric: str, summary: Summary | None) -> str:
    """``92.4 ± 0.4 ms``, ``92.4 ms (n<6)``, or ``–`` where nothing was measured."""
    if summary is None:
        return UNKNOWN
    if summary.interval is None:
        return f"{value_text(metric, summary.median)} (n<6)"
    kind = quantity(metric)
    if kind is None:
        return f"{summary.median:.3g} ± {half_width(summary.interval):.2g}"
    return format_with_margin(summary.median, half_width(summary.interval), kind)


def interval_text(metric: str, interval: Interval | None) -> str:
    """``91.9 to 92.7 ms``."""
    if interval is None:
        return UNKNOWN
    kind = quantity(metric)
    if kind is None:
        return f"{interval.low:.3g} to {interval.high:.3g}"
    return format_range(interval.low, interval.high, kind)


def half_width(interval: Interval) -> float:
    return (interval.high - interval.low) / 2


def short_share_text(limit: LimitShare | None) -> str:
    """``81 % mem``, where a column is narrow."""
    if limit is None:
        return UNKNOWN
    return f"{limit.share * 100:.0f} % {_SHORT_LIMITS.get(limit.binds, limit.binds)}"


def rest_bytes(memory: Memory) -> int | None:
    """The peak less the parts that llama.cpp accounts for; None where one is unknown.

    Zero where the parts exceed the peak: mapped weights that were never read are not resident.
    """
    peak = memory.peak_rss_bytes
    known = [part for part in memory_parts(memory).values() if part is not None]
    if peak is None or len(known) < len(MEMORY_PARTS):
        return None
    return max(0, peak - sum(known))


def memory_parts(memory: Memory) -> dict[str, int | None]:
    """The fields of MEMORY_PARTS with their values."""
    return {part: getattr(memory, part) for part in MEMORY_PARTS}


def moment_text(created_at: str) -> str:
    """``2026-11-22 17:00 UTC`` from a record's time."""
    return f"{created_at[:16].replace('T', ' ')} UTC"


def label_names(cells: Iterable[dict[str, str]]) -> tuple[str, ...]:
    """The names of all labels, in the order in which they first appear."""
    return tuple(dict.fromkeys(name for labels in cells for name in labels))


def label_text(labels: dict[str, str]) -> str:
    """``smollm2-135m, n_ctx 1024``: the model speaks for itself, other labels need their name."""
    parts = (value if name == "model" else f"{name} {value}" for name, value in labels.items())
    return ", ".join(parts)


def cell_name(cell: CellResult) -> str:
    """What to call a cell in a sentence; a bench of one cell has no labels, only a workload."""
    return label_text(cell.cell.labels) or cell.cell.workload


def cell_status(cell: CellResult) -> str:
    """``done``, ``warned`` (done, with warnings), ``failed`` or ``not run``."""
    if cell.failure is not None:
        return "failed"
    if not cell.metrics:
        return "not run"
    return "warned" if cell.warnings else "done"


def sample_count(cell: CellResult) -> int:
    """Repetitions that gave a figure."""
    return max((summary.n for summary in cell.metrics.values()), default=0)


def repetitions_text(repetitions: Repetitions) -> str:
    """``10 repetitions``, or the rule by which their number is found."""
    least, most = repetition_bounds(repetitions)
    if least == most:
        return f"{least} repetition{'' if least == 1 else 's'}"
    return f"{least} to {most} repetitions, until the median is known to ±{repetitions.target:.0%}"


def repetition_bounds(repetitions: Repetitions) -> tuple[int, int]:
    """The fewest and the most."""
    if repetitions.fixed is not None:
        return repetitions.fixed, repetitions.fixed
    return repetitions.least, repetitions.most
