"""A model's own table of attention: measured on the model itself, where somebody has the time.

``doctor --measure`` does it for the models that are here, ``tune`` for the one that it tunes. The
model is opened in a process of its own and evaluates a few thousand tokens either way: from some
seconds for the starter model to minutes for a large one. From then on its requests are chosen by
this table instead of by the one of its shape.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from localprompt.errors import LocalPromptError, ModelFileError
from localprompt.measure import machine, memory
from localprompt.models.inspect import ModelInfo, inspect_model
from localprompt.models.predict import predict_memory
from localprompt.records.attention import AttentionTable
from localprompt.records.cell import Cell
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import RequestedSettings, Sampling
from localprompt.running.admission import predicted_peak
from localprompt.running.assemble import model_record, with_threads
from localprompt.running.attention import OnNote, unsuited
from localprompt.units import GIB, format_seconds

_LEAST_SECONDS, _SECONDS_PER_GIB = 60.0, 300.0
"""After which measuring is given up: some times what it takes on two cores that do nothing else."""
_CELLS = 8192
"""Of the largest context that is opened: 32 sequences with cells of their own, of which llama.cpp
gives each 256."""


def measure_all(on_note: OnNote) -> None:
    """Measure every model that is here, one after the other; what cannot be measured is told."""
    from localprompt.models.store import list_models

    entries, _ = list_models()
    for entry in entries:
        if entry.state != "present":
            continue
        try:
            model = model_record(entry.card.name)
        except LocalPromptError as error:
            on_note(f"{entry.card.name}: {error}")
            continue
        found = measure_model(model, with_threads(RequestedSettings()), on_note)
        if isinstance(found, str):
            on_note(f"{model.name}: not measured: {found}")


def measure_model(
    model: ModelRecord, settings: RequestedSettings, on_note: OnNote
) -> AttentionTable | str:
    """The model's table, measured now and kept; or why there is none.

    Args:
        settings: how it will be used: threads, types of the KV cache, repacking.
        on_note: told before it is measured.
    """
    from localprompt.engine.llama.proof import attention, gate

    try:
        info = inspect_model(Path(model.path))
    except ModelFileError:
        return "the file does not tell the model's shape"
    why = unsuited(info, settings)
    if why is not None:
        return why
    if model.sha256 is None or gate.verdict() is None:
        return "there is nothing to keep it by"
    if not _fits(model, settings, info):
        return "not enough free memory"
    on_note(f"measuring attention of {model.name} on this CPU")
    known_as = attention.OfModel(
        model.sha256,
        settings.type_k,
        settings.type_v,
        settings.n_threads_batch or settings.n_threads or machine.default_threads(),
        settings.repack,
    )
    limit = _LEAST_SECONDS + _SECONDS_PER_GIB * (model.size_bytes or 0) / GIB
    found = attention.measure_model(Path(model.path), known_as, model.name, seconds=limit)
    return found or (
        f"it took longer than {format_seconds(limit)}, or contradicts itself: other programs run "
        "here now"
    )


def _fits(model: ModelRecord, settings: RequestedSettings, info: ModelInfo) -> bool:
    """Whether there is memory for the model without flash attention, in the child's context, and
    for the cache of the context with it."""
    cell = Cell(
        kind="tune",
        model=model,
        template=PromptTemplate(name="", body=""),
        params={},
        sampling=Sampling(),
        settings=msgspec.structs.replace(settings, flash_attn=False),
    )
    peak, free = predicted_peak(cell, _CELLS), memory.available().available_bytes
    second = predict_memory(
        info, n_ctx=_CELLS, type_k=settings.type_k, type_v=settings.type_v
    ).kv_cache_bytes
    return peak is None or free is None or peak + second <= free
