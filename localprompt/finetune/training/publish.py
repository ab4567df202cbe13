"""From trained weights to models in the store: as 32-bit floats, and quantized like the parent.

Both get a card that names the parent by its sha256, its licence, and how they were made. The store
has a complete model under a name, or none; where an older one of the name is replaced, its card
goes first.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from localprompt import paths
from localprompt.finetune.training.planning import Plan
from localprompt.gguf.header import read_gguf
from localprompt.models.cards import ModelCard, write_card
from localprompt.models.ownership import claimed
from localprompt.models.quantize.job import Job
from localprompt.models.quantize.make import make
from localprompt.models.store import add_model
from localprompt.records.training import TunedModel


def publish(weights: Path, plan: Plan) -> tuple[TunedModel, TunedModel]:
    """Register what was trained; ``weights`` stays where it is, on the same filesystem.

    Returns:
        the model in its parent's quantization, and the one of 32-bit floats.

    Raises:
        EngineError: llama.cpp failed to quantize it.
        MachineError, NotEnoughDiskError, NotEnoughMemoryError: the store cannot be written.
    """
    store = paths.weights_folder()
    full_path = store / f"{plan.full_name}.gguf"
    full_path.with_suffix(".toml").unlink(missing_ok=True)
    full_path.unlink(missing_ok=True)
    with claimed(weights, full_path):
        os.link(weights, full_path)
        full_path.chmod(paths.file_mode(full_path) or full_path.stat().st_mode)
        card = add_model(full_path, name=plan.full_name, parent=plan.card)
    full = _described(card, plan, "F32")
    if plan.parent_is_full:
        return full, full
    file_type = str(plan.parent.quantization)
    made = make(
        Job(
            parent=plan.card,
            source=full_path,
            source_type="F32",
            head=read_gguf(full_path),
            name=plan.name,
            file_type=file_type,
            target=store / f"{plan.name}.gguf",
            warnings=(),
        ),
        n_threads=plan.n_threads,
    )
    return _described(made.card, plan, file_type), full


def _described(card: ModelCard, plan: Plan, quantization: str) -> TunedModel:
    examples = plan.examples.trained
    described = msgspec.structs.replace(
        card,
        description=f"{plan.parent.name}, tuned on {examples} examples of the prompt "
        f"{plan.template.name}; {quantization}.",
    )
    write_card(described, paths.weights_folder() / f"{card.name}.toml")
    return TunedModel(
        name=described.name,
        path=str(described.weights),
        sha256=described.sha256,
        size_bytes=described.size_bytes,
        quantization=quantization,
    )
