"""Writes LoRA adapters: for the tiny model of the tests, and for any model whose head is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from localprompt.gguf.header import read_gguf
from localprompt.gguf.splits import read_model
from tests.models.tiny_gguf import tiny_gguf

METADATA: dict[str, Any] = {
    "general.type": "adapter",
    "general.architecture": "llama",
    "general.name": "Tiny style",
    "general.license": "mit",
    "adapter.type": "lora",
    "adapter.lora.alpha": 8.0,
}
Tensors = Sequence[tuple[str, tuple[int, ...], str]]


def pair(name: str, n_in: int, n_out: int, rank: int = 2) -> list[tuple[str, tuple[int, ...], str]]:
    """The two matrices of a weight."""
    return [
        (f"{name}.lora_a", (n_in, rank), "F32"),
        (f"{name}.lora_b", (rank, n_out), "F32"),
    ]


TENSORS: Tensors = pair("blk.0.ffn_up.weight", 64, 96)


def lora_gguf(metadata: Mapping[str, Any] = METADATA, tensors: Tensors = TENSORS) -> bytes:
    """A whole file; the matrices are zeros."""
    return tiny_gguf(metadata, tensors)


def write_lora(path: Path, model: Path, *, rank: int = 4, strength: float = 0.5) -> Path:
    """An adapter for a model: random matrices for the queries and values of each layer.

    Args:
        strength: of what they add; 0.5 changes the answers of the starter model.
    """
    base = read_model(model)
    tensors = [
        one
        for tensor in base.tensors
        if tensor.name.endswith(("attn_q.weight", "attn_v.weight"))
        for one in pair(tensor.name, tensor.shape[0], tensor.shape[1], rank)
    ]
    architecture = base.metadata["general.architecture"]
    path.write_bytes(lora_gguf({**METADATA, "general.architecture": architecture}, tensors))
    head = read_gguf(path)
    random = np.random.default_rng(7)
    with path.open("r+b") as file:
        for tensor in head.tensors:
            file.seek(head.data_offset + tensor.offset)
            width = strength / np.sqrt(tensor.shape[0])
            values = random.normal(0, width, tensor.n_elements).astype("<f4")
            file.write(values.tobytes())
    return path
