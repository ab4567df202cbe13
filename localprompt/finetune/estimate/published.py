"""Estimates beside published figures: how far the estimator can be believed.

``benchmarks/finetune/published_memory.csv`` holds peaks that others measured, each with its source
and with how that run was set up. Groups, never pooled:

- *calibration*: what was looked at while the counts of ``memory`` and ``recipe`` were written;
- *held out*: other models, batch sizes and settings, used to see whether the counts carry over;
- *measured here*: our own, with random weights on a GPU that was lent for it
  (``benchmarks/gpu_training_memory.py``);
- *varied lengths*: memory that the allocator reserved while sequences of many lengths came one
  after another. It keeps blocks for each length, so this is more than training needs.

A file with the columns model, method, peak_memory and source can be read as well; a row that does
not name its stack is taken to be of the stack that its source documents.
"""

from __future__ import annotations

import csv
import re
import statistics
from pathlib import Path
from typing import Any

import msgspec

from localprompt.errors import DatasetError
from localprompt.finetune.estimate.memory import estimate_memory
from localprompt.finetune.estimate.recipe import Recipe, make_recipe
from localprompt.finetune.estimate.shapes import ModelShape, find_shape
from localprompt.paths import shipped
from localprompt.stats.ranges import Range
from localprompt.units import GIB

_UNITS = {"GB": 1e9, "GiB": float(GIB)}
_STACK_OF_SOURCE = {
    "litgpt": "litgpt",
    "QwenLM": "qwenlm",
    "torchtune": "torchtune",
    "unsloth": "unsloth",
    "Unsloth": "unsloth",
}
SHORTEST_TOKENS, LONGEST_TOKENS = 64, 4096
"""Lengths that examples of instruction data have, where a source does not say theirs."""
_NUMBERS = ("sequence_tokens", "micro_batch", "gpus", "rank")


class Published(msgspec.Struct, frozen=True):
    """A published peak and the run that it was measured on."""

    group: str
    shape: ModelShape
    recipe: Recipe
    peak_bytes: float
    """Over all GPUs of the run."""
    seconds_per_step: float | None
    """Of one optimizer step on A100 GPUs, where the source has it."""
    source: str
    notes: str
    length_known: bool = True
    """Whether the source says how long the examples were."""


class Comparison(msgspec.Struct, frozen=True):
    """One published peak beside its estimate."""

    published: Published
    estimated_bytes: Range

    @property
    def error(self) -> float:
        """Typical estimate over the published figure, less one."""
        return self.estimated_bytes.typical / self.published.peak_bytes - 1

    @property
    def inside(self) -> bool:
        return self.published.peak_bytes in self.estimated_bytes


class Accuracy(msgspec.Struct, frozen=True):
    """How well a group of published figures is met."""

    rows: int
    median_error: float
    """Of the absolute values."""
    inside: float
    """Share of the rows within the estimated range."""
    widest: float
    """The widest half range, as a fraction of its typical value."""


def read_published(path: Path | None = None) -> tuple[Published, ...]:
    """The published rows, by default those that ship.

    Raises:
        DatasetError: a row has no number where one is needed, or an unknown unit.
        UnknownNameError: a row's model, method or stack is not known.
    """
    if path is None:
        path = shipped("benchmarks") / "finetune" / "published_memory.csv"
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return tuple(_published(row, f"{path}:{number}") for number, row in enumerate(rows, start=2))


def compare(rows: tuple[Published, ...]) -> tuple[Comparison, ...]:
    """Each published peak with the estimate of the same run."""
    return tuple(Comparison(row, _estimated(row)) for row in rows)


def _estimated(row: Published) -> Range:
    """The peak; where no length is published, the range is as wide as that ignorance."""
    estimate = estimate_memory(row.shape, row.recipe).all_gpus_bytes
    if row.length_known:
        return estimate

    def at(tokens: int) -> Range:
        recipe = msgspec.structs.replace(row.recipe, sequence_tokens=tokens)
        return estimate_memory(row.shape, recipe).all_gpus_bytes

    return Range(at(SHORTEST_TOKENS).low, estimate.typical, at(LONGEST_TOKENS).high)


def accuracy(comparisons: tuple[Comparison, ...]) -> Accuracy:
    """Summary of at least one comparison."""
    return Accuracy(
        rows=len(comparisons),
        median_error=statistics.median(abs(c.error) for c in comparisons),
        inside=statistics.mean(c.inside for c in comparisons),
        widest=max(c.estimated_bytes.half_width for c in comparisons),
    )


def accuracy_table(rows: tuple[Published, ...] | None = None) -> str:
    """The documentation's tables: a summary by group, then every row; Markdown, GB are 1e9."""
    comparisons = compare(read_published() if rows is None else rows)
    groups = tuple(dict.fromkeys(c.published.group for c in comparisons))
    lines = [
        "| group | rows | median error of the typical value | inside the range | widest range |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for group in groups:
        summary = accuracy(tuple(c for c in comparisons if c.published.group == group))
        lines.append(
            f"| {group} | {summary.rows} | {summary.median_error:.1%} "
            f"| {summary.inside:.0%} | ±{summary.widest:.0%} |"
        )
    for group in groups:
        lines += ["", f"### {group.capitalize()}", "", *_HEAD]
        lines += [_line(c) for c in comparisons if c.published.group == group]
    return "\n".join(lines) + "\n"


_COLUMNS = (
    "model", "method", "stack", "batch × tokens", "settings",
    "published GB", "estimated GB", "range GB", "error",
)  # fmt: skip
_HEAD = (f"| {' | '.join(_COLUMNS)} |", "| --- " * 3 + "| ---: | --- " + "| ---: " * 4 + "|")


def _line(comparison: Comparison) -> str:
    row, estimated = comparison.published, comparison.estimated_bytes * 1e-9
    recipe = row.recipe
    settings = [f"{recipe.gpus} GPUs"] if recipe.gpus > 1 else []
    if recipe.trains_adapter:
        settings.append(f"r {recipe.rank} on {' '.join(recipe.targets)}")
    if recipe.method == "qlora":
        settings.append(recipe.quantization)
    if recipe.recompute != recipe.stack.recompute:
        settings.append("recomputed" if recipe.recompute else "not recomputed")
    outside = "" if comparison.inside else " outside"
    return (
        f"| {row.shape.name} | {recipe.method} | {recipe.stack.name} "
        f"| {recipe.micro_batch} × {recipe.sequence_tokens} | {', '.join(settings)} "
        f"| {row.peak_bytes * 1e-9:.1f} | {estimated.typical:.1f} "
        f"| {estimated.low:.1f} to {estimated.high:.1f} | {comparison.error:+.0%}{outside} |"
    )


def _published(row: dict[str, str], where: str) -> Published:
    try:
        return Published(
            group=row.get("group") or "published",
            shape=find_shape(row["model"]),
            recipe=make_recipe(row["method"], **_settings(row)),
            peak_bytes=float(row["peak_memory"]) * _UNITS[row.get("unit") or "GB"],
            seconds_per_step=float(row["seconds_per_step"])
            if row.get("seconds_per_step")
            else None,
            source=row["source"],
            notes=row.get("notes") or "",
            length_known=bool(row.get("sequence_tokens")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            "a published figure cannot be read",
            where=where,
            expected="model, method, peak_memory, source; unit GB or GiB; whole numbers",
            found=str(error),
        ) from error


def _settings(row: dict[str, str]) -> dict[str, Any]:
    """What the row says of the run; what it leaves out is the stack's habit."""
    settings: dict[str, Any] = {key: int(row[key]) for key in _NUMBERS if row.get(key)}
    for key in ("sharded", "recompute"):
        if row.get(key):
            settings[key] = {"true": True, "false": False}[row[key]]
    if row.get("targets"):
        settings["targets"] = tuple(row["targets"].split())
    if row.get("quantization"):
        settings["quantization"] = row["quantization"]
    elif "double quantization" in (row.get("notes") or ""):
        settings["quantization"] = "nf4-dq"
    several = re.match(r"(\d+)x ", row.get("hardware") or "")
    if several and "gpus" not in settings:
        settings["gpus"] = int(several[1])
    by_source = (stack for name, stack in _STACK_OF_SOURCE.items() if name in row["source"])
    settings["stack"] = row.get("stack") or next(by_source, "trainer")
    return settings
