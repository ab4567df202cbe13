"""Stored runs in the terminal: a list of many, everything about one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from localprompt.records.run import RunRecord
from localprompt.units import (
    UNKNOWN,
    format_bytes,
    format_count,
    format_rate,
    format_seconds,
)
from localprompt.views.stream import harmless

SHORT_ID = 10
"""The part of an id that holds its time; enough to name a run."""

_ENDS = {"stop": "stop", "length": "cut", "interrupted": "^C", "error": "err"}

_FIXED_WIDTH = 54
"""Of the columns of ``runs list`` beside model and prompt, with the gaps."""


def print_run_list(runs: Iterable[RunRecord], console: Console) -> int:
    """One row per run; returns how many there were."""
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    # Figures keep their width; in a narrow terminal only names are shortened.
    names = max(8, (console.width - _FIXED_WIDTH) // 2)
    for name, width in (("id", SHORT_ID), ("when (UTC)", 11)):
        table.add_column(name, no_wrap=True, min_width=width)
    for name in ("model", "prompt"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=names)
    for name, width in (("TTFT", 7), ("decode\ntok/s", 6), ("peak RSS", 8)):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    table.add_column("end", no_wrap=True, min_width=4)
    count = 0
    for run in runs:
        count += 1
        rate = run.timing.decode_tokens_per_second
        table.add_row(
            run.id[:SHORT_ID],
            _when(run)[5:],
            run.model.name,
            run.prompt.name or f"({run.kind})",
            format_seconds(run.timing.ttft_seconds),
            UNKNOWN if rate is None else f"{rate:.1f}",
            format_bytes(run.memory.peak_rss_bytes),
            _ENDS[run.output.finish_reason],
        )
    if count:
        console.print(table)
    return count


def print_run(run: RunRecord, console: Console) -> None:
    """Everything that a run's record says, in the order in which it happened."""
    console.print(Text(f"{run.kind} {run.id}", style="bold"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _facts(run):
        grid.add_row(name, Text(value))
    console.print(grid)
    for message in run.prompt.messages:
        console.print(Text(f"\n{message.role}", style="bold"))
        console.print(Padding(Text(harmless(message.text)), (0, 0, 0, 2)))
    console.print(Text(f"\nanswer ({run.output.finish_reason})", style="bold"))
    console.print(Padding(Text(harmless(run.output.text) or UNKNOWN), (0, 0, 0, 2)))
    for warning in run.warnings:
        advice = f" ({warning.advice})" if warning.advice else ""
        console.print(Text(f"warning: {warning.message}{advice}", style="yellow"))


def _when(run: RunRecord) -> str:
    return run.created_at[:16].replace("T", " ")


def _facts(run: RunRecord) -> Iterator[tuple[str, str]]:
    model, settings, sampling = run.model, run.settings, run.sampling
    timing, tokens, memory, machine = run.timing, run.tokens, run.memory, run.machine
    yield "when", f"{run.created_at} (localprompt {run.localprompt_version})"
    yield (
        "model",
        (
            f"{model.name} {model.architecture or UNKNOWN} {model.quantization or UNKNOWN}, "
            f"{format_count(model.parameters)} parameters, {format_bytes(model.size_bytes)}"
        ),
    )
    yield "sha256", model.sha256 or "not computed"
    if run.profile is not None:
        chosen = ", ".join(run.profile.settings) or "the model only"
        yield "profile", f"{run.profile.name}, for {run.profile.model}: {chosen}"
    yield "prompt", run.prompt.name or "typed in place"
    yield (
        "settings",
        (
            f"n_ctx {settings.n_ctx}, n_batch {settings.n_batch}, n_ubatch {settings.n_ubatch}, "
            f"threads {settings.n_threads}/{settings.n_threads_batch}, "
            f"KV {settings.type_k}/{settings.type_v}, flash_attn {_flag(settings.flash_attn)}, "
            f"mmap {_flag(settings.use_mmap)}, repack {_flag(settings.repack)}"
        ),
    )
    drawn = f"temperature {sampling.temperature:g}" if sampling.temperature else "greedy"
    if sampling.temperature:
        drawn += (
            f", top_k {sampling.top_k}, top_p {sampling.top_p:g}, "
            f"min_p {sampling.min_p:g}, seed {sampling.seed}"
        )
    yield "sampling", f"{drawn}, max_tokens {sampling.max_tokens}"
    yield (
        "tokens",
        f"{tokens.prompt} prompt ({tokens.reused} reused), {tokens.completion} completion",
    )
    yield (
        "time",
        (
            f"load {format_seconds(timing.load_seconds)}, "
            f"render {format_seconds(timing.render_seconds)}, "
            f"tokenize {format_seconds(timing.tokenize_seconds)}, "
            f"prefill {format_seconds(timing.prefill_seconds)}, "
            + (
                ""
                if timing.prefix_store_seconds is None
                else f"prefix store {format_seconds(timing.prefix_store_seconds)}, "
            )
            + f"TTFT {format_seconds(timing.ttft_seconds)}, "
            f"decode {format_seconds(timing.decode_seconds)}, "
            f"total {format_seconds(timing.total_seconds)}"
        ),
    )
    yield (
        "rates",
        (
            f"prefill {format_rate(timing.prefill_tokens_per_second)}, "
            f"decode {format_rate(timing.decode_tokens_per_second)}, "
            f"ITL p50 {format_seconds(timing.itl_p50_seconds)}, "
            f"p95 {format_seconds(timing.itl_p95_seconds)}"
        ),
    )
    yield (
        "memory",
        (
            f"peak RSS {format_bytes(memory.peak_rss_bytes)} measured, "
            f"{format_bytes(memory.predicted_peak_bytes)} predicted; "
            f"before loading {format_bytes(memory.baseline_rss_bytes)}"
        ),
    )
    yield (
        "",
        (
            f"at the end: anonymous {format_bytes(memory.anonymous_bytes)}, "
            f"file-backed {format_bytes(memory.file_backed_bytes)}"
        ),
    )
    yield (
        "",
        (
            f"llama.cpp: weights {format_bytes(memory.weights_bytes)}, "
            f"KV cache {format_bytes(memory.kv_cache_bytes)}, "
            f"compute {format_bytes(memory.compute_bytes)}"
        ),
    )
    yield (
        "machine",
        (
            f"{machine.id}: {machine.cpu or UNKNOWN}, {machine.physical_cores} physical and "
            f"{machine.logical_cores} logical cores, {format_bytes(machine.memory_bytes)}"
        ),
    )
    yield "", f"{machine.os}, {machine.kernel}, {machine.python}, {machine.llama_cpp_build}"


def _flag(value: bool | None) -> str:
    return UNKNOWN if value is None else ("on" if value else "off")
