"""A model of a few kilobytes that llama.cpp quantizes for real."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.models.tiny_gguf import METADATA, tiny_gguf

WIDTH = 256
"""One block of the K quantizations."""
SHAPE: dict[str, Any] = {
    "general.file_type": 0,
    "llama.embedding_length": WIDTH,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.dimension_count": 64,
}
SHAPES: dict[str, tuple[int, ...]] = {
    "token_embd.weight": (WIDTH, 80),
    "blk.0.attn_norm.weight": (WIDTH,),
    "blk.0.attn_v.weight": (WIDTH, 32),
    "blk.0.ffn_down.weight": (WIDTH, 64),
    "blk.1.ffn_up.weight": (96, 32),
    "output_norm.weight": (WIDTH,),
}
"""``ffn_up`` has rows that are no whole blocks of a K quantization."""


def write_model(path: Path, kind: str = "F32", changes: Mapping[str, Any] | None = None) -> Path:
    """A model whose matrices are of this type; ``changes`` go over its metadata."""
    tensors = [(name, shape, "F32" if len(shape) == 1 else kind) for name, shape in SHAPES.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tiny_gguf(METADATA | SHAPE | dict(changes or {}), tensors))
    return path
