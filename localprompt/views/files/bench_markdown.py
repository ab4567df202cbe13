"""A bench as Markdown, with llama-bench's columns where they mean the same.

``model``, ``size``, ``params``, ``backend``, ``threads``, ``n_batch``, ``n_ubatch``, ``type_k``,
``type_v``, ``fa``, ``rpk``, ``test`` and ``t/s`` are named, and ``t/s`` is computed, as
llama-bench does: the mean rate ± its standard deviation, for the synthetic tests ``pp512`` and
``tg64`` only. So such a row can be put below llama-bench's own. Like there, a setting has a column
where its values differ. What llama-bench does not know follows: medians ± half the 95 % interval.
``size`` is the file's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from localprompt.records.bench import BenchResult, CellResult
from localprompt.records.run import Machine
from localprompt.units import UNKNOWN, format_bytes, format_count
from localprompt.views.figures import (
    cell_name,
    cell_status,
    label_names,
    label_text,
    sample_count,
    share_text,
    summary_text,
    title,
)
from localprompt.views.files.runs import _markdown_cell, _markdown_row

Column = tuple[str, Callable[[CellResult], str]]

_SYNTHETIC = re.compile(r"(pp|tg)\d+")
_METRICS = ("ttft_seconds", "prefill_tokens_per_second", "decode_tokens_per_second", "load_seconds")
_SETTINGS = {
    "n_batch": "n_batch",
    "n_ubatch": "n_ubatch",
    "type_k": "type_k",
    "type_v": "type_v",
    "fa": "flash_attn",
    "rpk": "repack",
}
"""llama-bench's name of a setting → the field of records.Settings."""
_WORKLOAD_LABELS = {"prompt", "test", "workload"}
"""Labels that the column ``test`` repeats."""


def bench_markdown(result: BenchResult) -> str:
    """Heading, table, then what was not measured, and the machine."""
    experiment = result.experiment
    shared = _llama_bench_columns(result.cells)
    columns = [*shared, *_own_columns(result.cells, {name for name, _ in shared})]
    lines = [
        f"### {_markdown_cell(experiment.title)}\n\n",
        _markdown_row(name for name, _ in columns),
        _markdown_row("---" for _ in columns),
    ]
    lines += [
        _markdown_row(_markdown_cell(text(cell)) for _, text in columns) for cell in result.cells
    ]
    lines += _notes(result)
    lines.append(f"\n{machine_line(result.machine)}\n")
    return "".join(lines)


def machine_line(machine: Machine) -> str:
    """Whose figures these are, in one line of Markdown."""
    build = f"llama-cpp-python {machine.llama_cpp_build}" if machine.llama_cpp_build else None
    cores = f"{machine.physical_cores} cores" if machine.physical_cores else None
    memory = format_bytes(machine.memory_bytes) if machine.memory_bytes else None
    facts = (machine.cpu, cores, memory, machine.os, build, f"machine {machine.id}")
    return "Measured on: " + ", ".join(_markdown_cell(fact) for fact in facts if fact)


def _llama_bench_columns(cells: Sequence[CellResult]) -> list[Column]:
    columns: list[Column] = [
        ("model", _model),
        ("size", lambda cell: format_bytes(cell.model.size_bytes if cell.model else None)),
        ("params", lambda cell: format_count(cell.model.parameters if cell.model else None)),
        ("backend", lambda cell: "CPU"),
        ("threads", lambda cell: _setting(cell, "n_threads")),
    ]
    columns += [
        (name, _setting_reader(field))
        for name, field in _SETTINGS.items()
        if len({_setting(cell, field) for cell in cells if cell.settings}) > 1
    ]
    columns.append(("test", lambda cell: cell.cell.workload))
    if any(_is_synthetic(cell) for cell in cells):
        columns.append(("t/s", _mean_rate))
    return columns


def _own_columns(cells: Sequence[CellResult], shown: set[str]) -> list[Column]:
    repeated = shown | _WORKLOAD_LABELS | {"n_threads"}
    names = label_names(cell.cell.labels for cell in cells)
    columns: list[Column] = [
        (_markdown_cell(name), _label_reader(name)) for name in names if name not in repeated
    ]
    columns += [
        (title(metric), _metric_reader(metric))
        for metric in _METRICS
        if any(metric in cell.metrics for cell in cells)
    ]
    columns.append(
        ("peak RSS", lambda cell: format_bytes(cell.memory.peak_rss_bytes if cell.memory else None))
    )
    if any(cell.prefill_limit for cell in cells):
        columns.append(("prefill limit", lambda cell: share_text(cell.prefill_limit)))
    if any(cell.decode_limit for cell in cells):
        columns.append(("decode limit", lambda cell: share_text(cell.decode_limit)))
    return [*columns, ("n", lambda cell: str(sample_count(cell))), ("status", cell_status)]


def _model(cell: CellResult) -> str:
    if cell.model is None:
        return cell.cell.labels.get("model", UNKNOWN)
    return f"{cell.model.name} {cell.model.quantization or ''}".strip()


def _is_synthetic(cell: CellResult) -> bool:
    named_so = _SYNTHETIC.fullmatch(cell.cell.workload) is not None
    return named_so and "ttft_seconds" not in cell.metrics


def _mean_rate(cell: CellResult) -> str:
    """As llama-bench prints it, two decimals whatever the size."""
    prefill = cell.cell.workload.startswith("pp")
    rate = cell.metrics.get("prefill_tokens_per_second" if prefill else "decode_tokens_per_second")
    if rate is None or not _is_synthetic(cell):
        return UNKNOWN
    return f"{rate.mean:.2f} ± {rate.stdev or 0:.2f}"


def _setting(cell: CellResult, field: str) -> str:
    """The effective value; of a cell that never ran, the one it was to have, if a label says."""
    if cell.settings is None:
        return cell.cell.labels.get(field, UNKNOWN)
    value = getattr(cell.settings, field)
    if value is None:
        return UNKNOWN
    return str(int(value)) if isinstance(value, bool) else str(value)


def _setting_reader(field: str) -> Callable[[CellResult], str]:
    return lambda cell: _setting(cell, field)


def _label_reader(name: str) -> Callable[[CellResult], str]:
    return lambda cell: cell.cell.labels.get(name, UNKNOWN)


def _metric_reader(metric: str) -> Callable[[CellResult], str]:
    return lambda cell: summary_text(metric, cell.metrics.get(metric))


def _notes(result: BenchResult) -> Iterable[str]:
    notes = [("warning", "", warning.message) for warning in result.warnings]
    for cell in result.cells:
        notes += [("warning", cell_name(cell), warning.message) for warning in cell.warnings]
        if cell.failure is not None:
            notes.append(("failed", cell_name(cell), cell.failure.cause))
    for refused in result.experiment.refused:
        notes.append(("refused", label_text(refused.labels), refused.reason))
    if not result.complete:
        notes.append(("incomplete", "", "some repetitions are missing"))
    if notes:
        yield "\n"
    for kind, name, text in notes:
        yield f"- {kind}: {_markdown_cell(f'{name}: {text}' if name else text)}\n"
