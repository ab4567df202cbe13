"""The measurement of one run, for stderr after the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from localprompt.records.run import RunRecord, TokenCounts
from localprompt.units import MIB, UNKNOWN, format_bytes, format_rate, format_seconds
from localprompt.views.translation import translated

_WIDTH = 80


def summary_lines(record: RunRecord) -> tuple[str, ...]:
    """Load, prefill, TTFT and decode; peak memory with its parts; and where the answer was cut.
    Each line fits 80 columns."""
    timing, tokens, memory = record.timing, record.tokens, record.memory
    reused = f" (+{tokens.reused} {translated('reused')})" if tokens.reused else ""
    prefill = _rate(tokens.prompt - tokens.reused, timing.prefill_tokens_per_second)
    speed = (
        f"{translated('load')} {format_seconds(timing.load_seconds)}",
        f"prefill {prefill}{reused}",
        f"TTFT {format_seconds(timing.ttft_seconds)}",
        f"decode {_rate(tokens.completion, timing.decode_tokens_per_second)}{_shortcuts(tokens)}",
    )
    parts = ", ".join(
        f"{name} {_mib(value)}"
        for name, value in (
            (translated("weights"), memory.weights_bytes),
            ("KV", memory.kv_cache_bytes),
            (translated("compute"), memory.compute_bytes),
        )
    )
    peak = translated(
        f"peak RSS {format_bytes(memory.peak_rss_bytes)}: {parts}, rest {_mib(_rest(record))} MiB"
    )
    return (*_lines(speed), *_lines([peak, *_cut(record)]), *_chosen(record))


def turn_line(record: RunRecord) -> str:
    """What a turn of a conversation took, on one line: what was new, what was there already."""
    timing, tokens = record.timing, record.tokens
    turn = len(record.conversation.turns) + 1 if record.conversation else 1
    new = _rate(tokens.prompt - tokens.reused, timing.prefill_tokens_per_second)
    parts = (
        f"turn {turn}",
        f"read {new}" + (f" (+{tokens.reused} kept)" if tokens.reused else ""),
        f"TTFT {format_seconds(timing.ttft_seconds)}",
        f"wrote {_rate(tokens.completion, timing.decode_tokens_per_second)}",
        *_cut(record),
    )
    return "\n".join(_lines(parts))


def _shortcuts(tokens: TokenCounts) -> str:
    """How many tokens took no step of their own."""
    named = ((tokens.forced, translated("forced")), (tokens.accepted, translated("guessed")))
    shown = ", ".join(f"{count} {word}" for count, word in named if count)
    return f" ({shown})" if shown else ""


def _lines(parts: Iterable[str]) -> Iterator[str]:
    """The parts in brackets, as many on a line as fit."""
    line = ""
    for part in parts:
        longer = f"{line} · {part}" if line else part
        if len(longer) > _WIDTH - len("[]") and line:
            yield f"[{line}]"
            longer = part
        line = longer
    yield f"[{line}]"


def _chosen(record: RunRecord) -> Iterator[str]:
    """What ``--max-memory`` led to."""
    memory, settings = record.memory, record.settings
    if memory.max_memory_bytes is None:
        return
    predicted = format_bytes(memory.predicted_peak_bytes)
    yield from _lines(
        (
            f"--max-memory {format_bytes(memory.max_memory_bytes)}: n_ctx {settings.n_ctx}",
            f"KV {settings.type_k}/{settings.type_v}",
            f"n_ubatch {settings.n_ubatch}",
            translated(f"predicted peak {predicted} (estimated)"),
        )
    )


def _cut(record: RunRecord) -> Iterator[str]:
    if record.output.finish_reason != "length":
        return
    if record.tokens.completion >= record.sampling.max_tokens:
        yield translated(f"cut by --max-tokens {record.sampling.max_tokens}")
    else:
        yield translated(f"cut by --n-ctx {record.settings.n_ctx}")


def _rate(tokens: int, per_second: float | None) -> str:
    if per_second is None:
        return f"{tokens} tok"
    return f"{tokens} {translated('at')} {format_rate(per_second)}"


def _mib(n: int | None) -> str:
    return UNKNOWN if n is None else f"{n / MIB:.0f}"


def _rest(record: RunRecord) -> int | None:
    """What the process took beside llama.cpp's buffers: Python, libraries, tables."""
    memory = record.memory
    parts = (memory.weights_bytes, memory.kv_cache_bytes, memory.compute_bytes)
    if memory.peak_rss_bytes is None or any(part is None for part in parts):
        return None
    return max(0, memory.peak_rss_bytes - sum(part or 0 for part in parts))
