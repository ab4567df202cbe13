"""A training as people read it: what came out, the loss curve, memory and time.

Terminal and Markdown are made of the same sections, so they cannot tell different things. What was
measured stands beside what ``finetune estimate`` says of the same training, and each column says
which it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from localprompt.records.training import TrainingResult
from localprompt.stats.ranges import Range
from localprompt.units import (
    UNKNOWN,
    format_bytes,
    format_count,
    format_rate,
    format_seconds,
)
from localprompt.views.markdown import cell, markdown
from localprompt.views.sections import Column, Lines, Section, text_table
from localprompt.views.terminal import print_blocks, print_sections

_STOPPED = {
    "epochs": "all epochs",
    "max_minutes": "until --max-minutes ran out",
}


def print_training(result: TrainingResult, console: Console) -> None:
    """The whole result."""
    print_blocks([Lines(tuple(_headline(result).split("\n")), quiet=False)], console)
    print_sections(training_sections(result), console)


def training_markdown(result: TrainingResult) -> str:
    """The same as a piece of Markdown."""
    sections = markdown(training_sections(result), 4)
    return f"### {cell(result.title)}\n\n{cell(_headline(result))}\n\n{sections}"


def _headline(result: TrainingResult) -> str:
    examples = result.examples
    return (
        f"{result.tuned.name}: {result.parent.name} ({result.parent.quantization}) trained on "
        f"{examples.trained} examples of {result.request.prompt}, {_STOPPED[result.stopped]}.\n"
        f"{format_count(result.trained_parameters)} of {format_count(result.parameters)} "
        f"parameters trained, the token embeddings not; loss over "
        f"{'the answers' if result.request.loss == 'answer' else 'all tokens'}."
    )


def training_sections(result: TrainingResult) -> tuple[Section, ...]:
    return (_curve(result), _memory(result), _time(result), _models(result))


def _section(
    title: str, columns: tuple[Column, ...], rows: Iterable[tuple[str, ...]], *notes: str
) -> Section:
    table = text_table("", columns, rows)
    return Section(
        title.partition(",")[0].lower(), title, (table, *([Lines(notes)] if notes else []))
    )


def _curve(result: TrainingResult) -> Section:
    rows = [
        (
            f"{epoch.epoch}" if epoch.complete else f"{epoch.epoch} (part)",
            f"{epoch.steps}",
            _loss(epoch.train_loss),
            _share(epoch.train_accuracy),
            _loss(epoch.holdout_loss),
            _share(epoch.holdout_accuracy),
            format_seconds(epoch.wall_seconds),
        )
        for epoch in result.epochs
    ]
    heads = (
        Column("epoch"),
        Column("steps", numeric=True),
        Column("loss", numeric=True),
        Column("right", numeric=True),
        Column("held-out loss", numeric=True),
        Column("right", numeric=True),
        Column("took", numeric=True),
    )
    held = result.examples.held_out
    note = "loss: nats per token; right: tokens that were the most probable ones. " + (
        f"{held} examples held out" if held else "nothing was held out"
    )
    return _section("Loss, measured", heads, rows, note)


def _memory(result: TrainingResult) -> Section:
    memory, beside = result.memory, result.estimate
    parts = beside.parts if beside else {}
    graph = parts["activations"] + parts["logits"] if parts else None
    rows = [
        ("weights (32 bit)", format_bytes(memory.weights_bytes), _range(parts.get("weights"))),
        ("gradients", format_bytes(memory.gradients_bytes), _range(parts.get("gradients"))),
        ("optimizer (AdamW)", format_bytes(memory.optimizer_bytes), _range(parts.get("optimizer"))),
        (
            "activations, logits, cache",
            format_bytes(_sum(memory.activations_bytes, memory.kv_cache_bytes)),
            _range(graph),
        ),
        ("process", format_bytes(memory.process_bytes), _range(parts.get("overhead"))),
        (
            "peak RSS",
            format_bytes(memory.peak_rss_bytes),
            _range(beside.peak_bytes if beside else None),
        ),
    ]
    note = (
        f"windows of {result.n_ctx} tokens; gradients and optimizer as allocated, activations are "
        "the rest of the peak"
    )
    return _section(
        "Memory",
        (Column("part"), Column("measured", numeric=True), Column("estimated", numeric=True)),
        rows,
        note,
    )


def _time(result: TrainingResult) -> Section:
    seconds = result.seconds
    rows = [
        ("to 32-bit floats", format_seconds(seconds.unpack)),
        ("opening", format_seconds(seconds.load)),
        ("training", format_seconds(seconds.train)),
        ("held-out examples", format_seconds(seconds.holdout)),
        ("checkpoints", format_seconds(seconds.save)),
        ("hashing and quantizing", format_seconds(seconds.publish)),
        ("all", format_seconds(result.wall_seconds)),
        ("CPU time of training", format_seconds(result.cpu_seconds)),
    ]
    note = (
        f"{format_rate(result.tokens_per_second)} while training, "
        f"{format_rate(result.example_tokens_per_second)} of them examples and not filling; "
        f"{result.n_threads} threads"
    )
    return _section("Time, measured", (Column("what"), Column("took", numeric=True)), rows, note)


def _models(result: TrainingResult) -> Section:
    models = dict.fromkeys((result.tuned, result.full))
    rows = [
        (model.name, model.quantization, format_bytes(model.size_bytes), model.sha256[:12])
        for model in models
    ]
    heads = (Column("model"), Column("type"), Column("size", numeric=True), Column("sha256"))
    return _section("Models", heads, rows)


def _loss(loss: float | None) -> str:
    return UNKNOWN if loss is None else f"{loss:.4f}"


def _share(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share:.1%}"


def _range(values: Range | None) -> str:
    if values is None:
        return UNKNOWN
    ends = format_bytes(values.low), format_bytes(values.high)
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _sum(*sizes: int | None) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None
