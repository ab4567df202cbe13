"""What a row of a bench is called: its labels, or llama-bench's columns where they mean the same.

``model``, ``size``, ``params``, ``backend``, ``threads``, ``n_batch``, ``n_ubatch``, ``type_k``,
``type_v``, ``fa``, ``rpk``, ``test`` and ``t/s`` are named, and ``t/s`` is computed, as
llama-bench does: the mean rate ± its standard deviation, for the synthetic tests ``pp512`` and
``tg64`` only. So such a row can be put below llama-bench's own. Like there, a setting has a column
where its values differ. What llama-bench does not know follows: medians ± half the 95 % interval.
``size`` is the file's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from localprompt.records.bench import CellResult
from localprompt.units import UNKNOWN, format_bytes, format_count
from localprompt.views.figures import label_names
from localprompt.views.sections import Column, Value

_SYNTHETIC = re.compile(r"(pp|tg)\d+")
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


class Measure(NamedTuple):
    """A column of a bench's table."""

    column: Column
    of: Callable[[CellResult], Value]


def label_reader(name: str) -> Callable[[CellResult], Value]:
    def read(cell: CellResult) -> Value:
        labels = cell.cell.labels or {"workload": cell.cell.workload}
        return Value(labels.get(name, UNKNOWN), labels.get(name))

    return read


def llama_bench_columns(cells: Sequence[CellResult]) -> list[Measure]:
    """Its columns, then the labels that are in none of them."""
    measures = [Measure(Column(name), _value(text)) for name, text in _columns(cells)]
    repeated = {one.column.title for one in measures} | _WORKLOAD_LABELS | {"n_threads"}
    names = label_names(cell.cell.labels for cell in cells)
    own = [Measure(Column(name), label_reader(name)) for name in names if name not in repeated]
    return [*measures, *own]


def _columns(cells: Sequence[CellResult]) -> Iterator[tuple[str, Callable[[CellResult], str]]]:
    yield "model", _model
    yield "size", lambda cell: format_bytes(cell.model.size_bytes if cell.model else None)
    yield "params", lambda cell: format_count(cell.model.parameters if cell.model else None)
    yield "backend", lambda cell: "CPU"
    yield "threads", lambda cell: _setting(cell, "n_threads")
    for name, field in _SETTINGS.items():
        if len({_setting(cell, field) for cell in cells if cell.settings}) > 1:
            yield name, _setting_reader(field)
    yield "test", lambda cell: cell.cell.workload
    if any(_is_synthetic(cell) for cell in cells):
        yield "t/s", _mean_rate


def _value(text: Callable[[CellResult], str]) -> Callable[[CellResult], Value]:
    return lambda cell: Value(text(cell))


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
