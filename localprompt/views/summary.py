"""The measurement of one run in two lines, for stderr after the answer."""

from __future__ import annotations

from localprompt.records import RunRecord
from localprompt.units import MIB, UNKNOWN, format_bytes, format_rate, format_seconds


def summary_lines(record: RunRecord) -> tuple[str, str]:
    """Load, prefill, TTFT and decode; then peak memory with its parts. Each fits 80 columns."""
    timing, tokens, memory = record.timing, record.tokens, record.memory
    evaluated = tokens.prompt - tokens.reused
    reused = f" (+{tokens.reused} reused)" if tokens.reused else ""
    speed = " · ".join(
        (
            f"load {format_seconds(timing.load_seconds)}",
            f"prefill {evaluated}{reused} tok {_rate(timing.prefill_tokens_per_second)}",
            f"TTFT {format_seconds(timing.ttft_seconds)}",
            f"decode {tokens.completion} tok {_rate(timing.decode_tokens_per_second)}",
        )
    )
    parts = ", ".join(
        f"{name} {_mib(value)}"
        for name, value in (
            ("weights", memory.weights_bytes),
            ("KV", memory.kv_cache_bytes),
            ("compute", memory.compute_bytes),
        )
    )
    peak = (
        f"peak RSS {format_bytes(memory.peak_rss_bytes)}: {parts}, rest {_mib(_rest(record))} MiB"
    )
    return f"[{speed}]", f"[{peak}]"


def _rate(per_second: float | None) -> str:
    return "" if per_second is None else f"at {format_rate(per_second)}"


def _mib(n: int | None) -> str:
    return UNKNOWN if n is None else f"{n / MIB:.0f}"


def _rest(record: RunRecord) -> int | None:
    """What the process took beside llama.cpp's buffers: Python, libraries, tables."""
    memory = record.memory
    parts = (memory.weights_bytes, memory.kv_cache_bytes, memory.compute_bytes)
    if memory.peak_rss_bytes is None or any(part is None for part in parts):
        return None
    return max(0, memory.peak_rss_bytes - sum(part or 0 for part in parts))
