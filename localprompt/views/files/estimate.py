"""What training would take as csv, json, jsonl and Markdown.

json is the whole :class:`~localprompt.finetune.estimate.prompting.SideBySide`. csv and jsonl are
flat: the first row is prompting, then one row for each method, or for each method × GPU where
time was asked for. In every row ``kind`` is ``estimated``; ranges are three columns, ``…_low``,
``…_typical`` and ``…_high``; ``fits_<size>`` and ``gpu_verdict`` say fits, may fit or does not
fit. What does not apply to a method is null in jsonl and an empty cell in csv.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

import msgspec

from localprompt.finetune.estimate.cost import CostEstimate
from localprompt.finetune.estimate.estimate import Estimate
from localprompt.finetune.estimate.hardware import DEVICES, Fit
from localprompt.finetune.estimate.prompting import Prompting, SideBySide
from localprompt.stats.ranges import Range
from localprompt.views.estimate import estimate_markdown, memory_parts
from localprompt.views.files.rows import ExportFormat, Record, write_jsonl, write_records_csv

_ENDS = ("low", "typical", "high")


def write_estimate(report: SideBySide, format: ExportFormat, stream: TextIO) -> None:  # noqa: A002
    """Write the report to ``stream``: text, UTF-8, opened with ``newline=""`` where a file."""
    match format:
        case "md":
            stream.write(estimate_markdown(report))
        case "json":
            stream.write(msgspec.json.encode(report).decode() + "\n")
        case "jsonl":
            write_jsonl(estimate_rows(report), stream)
        case "csv":
            write_records_csv(estimate_rows(report), stream)


def estimate_rows(report: SideBySide) -> Iterator[Record]:
    """The flat rows; all have the same keys in the same order."""
    rows = [
        {"model": report.shape.name, "parameters": report.shape.parameters, **row}
        for row in _rows(report)
    ]
    keys = dict.fromkeys(key for row in rows[1:] for key in row)
    for row in rows:
        yield {"kind": "estimated"} | {key: row.get(key) for key in keys}


def _rows(report: SideBySide) -> Iterator[Record]:
    yield _of_prompting(report.prompting)
    for estimate in report.training:
        for cost in estimate.costs or (None,):
            yield _of_training(estimate) | _of_cost(estimate, cost)


def _of_prompting(prompting: Prompting) -> Record:
    return {
        "method": "prompting",
        "sequence_tokens": prompting.n_ctx,
        "quantization": prompting.quantization,
        **_three("total_bytes", prompting.peak_bytes),
        **_verdicts(prompting.fits),
    }


def _of_training(estimate: Estimate) -> Record:
    recipe, memory = estimate.recipe, estimate.memory
    on_gpu = recipe.method != "cpu-llama.cpp"
    row: Record = {
        "method": recipe.method,
        "stack": recipe.stack.name if on_gpu else None,
        "sequence_tokens": recipe.sequence_tokens,
        "micro_batch": recipe.micro_batch,
        "accumulation": recipe.accumulation,
        "gpus": recipe.gpus if on_gpu else None,
        "sharded": recipe.sharded if on_gpu else None,
        "recompute": recipe.recompute if on_gpu else None,
        "rank": recipe.rank if recipe.trains_adapter else None,
        "targets": " ".join(recipe.targets) if recipe.trains_adapter else None,
        "quantization": recipe.quantization if recipe.method == "qlora" else None,
        "trainable_parameters": estimate.trainable_parameters,
        "peak_at": memory.peak_at,
    }
    parts = {f"{name}_bytes": part for name, part in memory_parts(estimate).items()}
    parts |= {"total_bytes": memory.total_bytes, "all_gpus_bytes": memory.all_gpus_bytes}
    for name, part in parts.items():
        row |= _three(name, part)
    return row | _verdicts(estimate.fits)


def _of_cost(estimate: Estimate, cost: CostEstimate | None) -> Record:
    verdicts = {fit.device: fit.verdict for fit in estimate.fits}
    return {
        "gpu": cost.gpu if cost else None,
        "gpu_verdict": verdicts[cost.gpu] if cost else None,
        "tokens": cost.tokens if cost else None,
        "flops": cost.flops if cost else None,
        **_three("seconds", cost.seconds if cost else None),
        **_three("usd", cost.usd if cost else None),
    }


def _verdicts(fits: tuple[Fit, ...]) -> Record:
    sizes = {device.name for device in DEVICES}
    return {
        f"fits_{fit.device.replace(' ', '_')}": fit.verdict for fit in fits if fit.device in sizes
    }


def _three(name: str, values: Range | None) -> Record:
    """Bytes are whole numbers, as everywhere else."""
    if values is None:
        return {f"{name}_{end}": None for end in _ENDS}
    digits = None if name.endswith("_bytes") else 12
    return {f"{name}_{end}": round(getattr(values, end), digits) for end in _ENDS}
