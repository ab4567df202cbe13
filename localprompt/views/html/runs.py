"""What a page shows of plain runs: their figures in a table, their prompts and answers below it.

Single runs are read, not compared: they were made one at a time, perhaps on different machines, so
there are no intervals, no charts and no best one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from localprompt.records.run import RunRecord
from localprompt.units import UNKNOWN, format_bytes, format_rate, format_seconds
from localprompt.views.figures import moment_text
from localprompt.views.html.bench import machine_facts, settings_text
from localprompt.views.html.page import (
    Column,
    Fact,
    Facts,
    Notice,
    Notices,
    Row,
    Section,
    Table,
    Value,
)

_COLUMNS = (
    Column("run"),
    Column("when"),
    Column("model"),
    Column("prompt"),
    Column("tokens", numeric=True),
    Column("TTFT", numeric=True),
    Column("prefill", numeric=True),
    Column("decode", numeric=True),
    Column("peak RSS", numeric=True),
    Column("load", numeric=True),
    Column("end"),
)
SHORT_ID = 10


def run_sections(runs: Sequence[RunRecord], prefix: str = "") -> tuple[Section, ...]:
    """The runs' part of a page, in the order given."""
    notices = tuple(
        Notice("warning", warning.message, run.id[:SHORT_ID], warning.advice)
        for run in runs
        for warning in run.warnings
    )
    table = Table(
        "One run each, not repeated. Details hold the prompt and the answer.",
        _COLUMNS,
        tuple(map(_row, runs)),
    )
    machines = {run.machine.id: run for run in runs}
    return (
        Section(f"{prefix}runs", "Runs", (table,) if runs else ()),
        Section(f"{prefix}run-notices", "Warnings", (Notices(notices),) if notices else ()),
        Section(
            f"{prefix}run-environment",
            "Environment",
            tuple(
                Facts(tuple(machine_facts(run.machine, run.localprompt_version)))
                for run in machines.values()
            ),
        ),
    )


def _row(run: RunRecord) -> Row:
    timing, peak = run.timing, run.memory.peak_rss_bytes
    prefill, decode = timing.prefill_tokens_per_second, timing.decode_tokens_per_second
    count = run.tokens.prompt + run.tokens.completion
    return Row(
        run.id,
        (
            Value(run.id[:SHORT_ID], run.id),
            Value(moment_text(run.created_at), run.created_at),
            Value(run.model.name, run.model.name),
            Value(run.prompt.name or UNKNOWN, run.prompt.name),
            Value(f"{run.tokens.prompt} + {run.tokens.completion}", count),
            Value(format_seconds(timing.ttft_seconds), timing.ttft_seconds),
            Value(format_rate(prefill), prefill),
            Value(format_rate(decode), decode),
            Value(format_bytes(peak), peak),
            Value(format_seconds(timing.load_seconds), timing.load_seconds),
            Value(run.output.finish_reason, run.output.finish_reason),
        ),
        tuple(_details(run)),
        (
            *((f"Prompt, {message.role}", message.text) for message in run.prompt.messages),
            ("Answer", run.output.text),
        ),
    )


def _details(run: RunRecord) -> Iterator[Fact]:
    memory = run.memory
    yield Fact("Id", run.id)
    yield Fact("Model", f"{run.model.name}, {run.model.quantization or UNKNOWN}")
    yield Fact("Settings", settings_text(run.settings))
    yield Fact("Total time", format_seconds(run.timing.total_seconds))
    yield Fact(
        "Memory",
        f"weights {format_bytes(memory.weights_bytes)}, "
        f"KV cache {format_bytes(memory.kv_cache_bytes)}, "
        f"compute {format_bytes(memory.compute_bytes)}",
    )
