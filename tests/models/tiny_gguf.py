"""Writes small GGUF files, right ones and wrong ones."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from localprompt.gguf.tensor_types import BY_NAME, TENSOR_TYPES

ALIGNMENT = 32
_IDS = {tensor_type.name: number for number, tensor_type in TENSOR_TYPES.items()}


class Signed(int):
    """A whole number that is written as 32 bits with a sign; others have none."""


METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.license": "mit",
    "general.file_type": 2,
    "llama.block_count": 2,
    "llama.context_length": 128,
    "llama.embedding_length": 64,
    "llama.feed_forward_length": 96,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.tokens": [f"token {number}" for number in range(80)],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.chat_template": "{{ messages }}",
}
TENSORS: tuple[tuple[str, tuple[int, ...], str], ...] = (
    ("token_embd.weight", (64, 80), "Q8_0"),
    ("blk.0.attn_norm.weight", (64,), "F32"),
    ("blk.0.ffn_up.weight", (64, 96), "Q4_0"),
    ("blk.1.ffn_up.weight", (64, 96), "Q4_0"),
    ("output_norm.weight", (64,), "F32"),
)


def tiny_gguf(
    metadata: Mapping[str, Any] = METADATA,
    tensors: Sequence[tuple[str, tuple[int, ...], str]] = TENSORS,
    *,
    version: int = 3,
) -> bytes:
    """A whole file; the weights are zeros."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, item in metadata.items():
        head += text(key) + value(item)
    offset = 0
    for name, shape, type_name in tensors:
        head += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", _IDS[type_name], offset)
        offset += _padded(_n_bytes(shape, type_name))
    data = b"".join(bytes(_padded(_n_bytes(shape, kind))) for _, shape, kind in tensors)
    return head.ljust(_padded(len(head)), b"\0") + data


def text(content: str) -> bytes:
    encoded = content.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def value(item: Any) -> bytes:
    kind, body = _typed(item)
    return struct.pack("<I", kind) + body


def _typed(item: Any) -> tuple[int, bytes]:
    if isinstance(item, bool):
        return 7, struct.pack("<?", item)
    if isinstance(item, Signed):
        return 5, struct.pack("<i", item)
    if isinstance(item, int):
        return (4, struct.pack("<I", item)) if item < 2**32 else (10, struct.pack("<Q", item))
    if isinstance(item, float):
        return 6, struct.pack("<f", item)
    if isinstance(item, str):
        return 8, text(item)
    items = [_typed(one) for one in item]
    kind = items[0][0] if items else 4
    return 9, struct.pack("<IQ", kind, len(items)) + b"".join(body for _, body in items)


def _n_bytes(shape: tuple[int, ...], type_name: str) -> int:
    elements = 1
    for size in shape:
        elements *= size
    return BY_NAME[type_name].bytes_for(elements)


def _padded(size: int) -> int:
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
