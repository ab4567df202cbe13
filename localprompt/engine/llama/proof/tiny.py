"""A llama of two layers with every type of weights that has kernels of its own.

Nothing of it was trained and nothing is shipped: the quantized blocks are a stream of bytes that
SHAKE-128 gives, in which each block's scales are set so that the weights spread like those of a
trained model. The same bytes everywhere, so that the logits can be written down beforehand:
``reference.json`` holds those that NumPy computed in 64 bit from the weights as ggml's reference
code unpacks them (``tests/engine/tiny_reference.py`` does it again).

The shapes are the smallest for which every path is taken: rows of 256, which is what k-quants
pack together; row counts that are multiples of 64, which repacking and AMX ask for; and a batch of
80 tokens, which is more than the 64 from which on flash attention works in tiles.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from localprompt.gguf.tensor_types import BY_NAME, TENSOR_TYPES

N_VOCAB = 64
N_EMBD = 256
N_FF = 256
HEAD = 64
ROPE_BASE = 10_000.0
NORM_EPSILON = 1e-5

BATCH_TOKENS = tuple((7 * at + 3) % N_VOCAB for at in range(80))
"""Evaluated at once; the next token follows alone."""
NEXT_TOKEN = 11
COMPARED = (0, 1, 31, 64, 79)
"""Positions of the batch whose logits are compared; those of the next token as well."""

_ALIGNMENT = 32
TYPE_IDS = {tensor_type.name: number for number, tensor_type in TENSOR_TYPES.items()}


class Fixed(NamedTuple):
    """A 16 bit float of every block that is set instead of drawn."""

    at: int
    value: float


_SCALES: dict[str, tuple[Fixed, ...]] = {
    "Q4_0": (Fixed(0, 0.0135),),
    "Q4_1": (Fixed(0, 0.0135), Fixed(2, -0.1)),
    "Q5_0": (Fixed(0, 0.0068),),
    "Q8_0": (Fixed(0, 0.00085),),
    "Q2_K": (Fixed(80, 0.0064), Fixed(82, 0.0096)),
    "Q3_K": (Fixed(108, 0.0015),),
    "Q4_K": (Fixed(0, 0.00035), Fixed(2, 0.0026)),
    "Q5_K": (Fixed(0, 0.00017), Fixed(2, 0.0026)),
    "Q6_K": (Fixed(208, 0.000046),),
    "IQ4_NL": (Fixed(0, 0.00092),),
    "IQ4_XS": (Fixed(0, 0.00005),),
}
"""Where a block's scales lie and what they are, by type: a spread of about 1/16, around 0."""


class Tensor(NamedTuple):
    name: str
    shape: tuple[int, ...]
    """The length of a row first, as GGUF has it."""
    type: str


class Shape(NamedTuple):
    """Of attention, and the types of each layer's matrices; all else is as small as it can be."""

    n_head: int = 4
    n_head_kv: int = 1
    key_length: int = HEAD
    value_length: int = HEAD
    types: tuple[tuple[str, ...], ...] = (
        ("Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL"),
        ("IQ4_XS", "Q2_K", "Q3_K", "Q5_0", "Q4_0", "Q4_K", "Q8_0"),
    )
    """Of queries, keys, values, output, gate, up and down."""


PROOF = Shape()


def tensors(shape: Shape = PROOF) -> tuple[Tensor, ...]:
    """All of the model, in the order of the file."""
    shapes = (
        ("attn_q", (N_EMBD, shape.n_head * shape.key_length)),
        ("attn_k", (N_EMBD, shape.n_head_kv * shape.key_length)),
        ("attn_v", (N_EMBD, shape.n_head_kv * shape.value_length)),
        ("attn_output", (shape.n_head * shape.value_length, N_EMBD)),
        ("ffn_gate", (N_EMBD, N_FF)),
        ("ffn_up", (N_EMBD, N_FF)),
        ("ffn_down", (N_FF, N_EMBD)),
    )
    found = [Tensor("token_embd.weight", (N_EMBD, N_VOCAB), "Q8_0")]
    for layer, of_layer in enumerate(shape.types):
        block = f"blk.{layer}"
        found += [Tensor(f"{block}.{norm}_norm.weight", (N_EMBD,), "F32") for norm in _NORMS]
        found += [
            Tensor(f"{block}.{name}.weight", size, kind)
            for (name, size), kind in zip(shapes, of_layer, strict=True)
        ]
    last = (("output_norm.weight", (N_EMBD,), "F32"), ("output.weight", (N_EMBD, N_VOCAB), "Q6_K"))
    return (*found, *(Tensor(*tensor) for tensor in last))


_NORMS = ("attn", "ffn")


def contents(tensor: Tensor) -> bytes:
    """A tensor's bytes: ones where it is F32 (norms), otherwise drawn."""
    elements = 1
    for size in tensor.shape:
        elements *= size
    if tensor.type == "F32":
        return struct.pack("<f", 1.0) * elements
    kind = BY_NAME[tensor.type]
    drawn = bytearray(hashlib.shake_128(tensor.name.encode()).digest(kind.bytes_for(elements)))
    for start in range(0, len(drawn), kind.block_bytes):
        for at, value in _SCALES[tensor.type]:
            struct.pack_into("<e", drawn, start + at, value)
    return bytes(drawn)


def gguf(shape: Shape = PROOF) -> bytes:
    """The whole file."""
    described, data = b"", b""
    for tensor in tensors(shape):
        described += _text(tensor.name)
        described += struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        described += struct.pack("<IQ", TYPE_IDS[tensor.type], len(data))
        data += _padded(contents(tensor))
    metadata = dict(_metadata(shape))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors(shape)), len(metadata))
    head += b"".join(_text(key) + _value(value) for key, value in metadata.items())
    return _padded(head + described) + data


def _metadata(shape: Shape) -> Iterator[tuple[str, Any]]:
    yield "general.architecture", "llama"
    yield "general.name", "localprompt's proof"
    yield "tokenizer.ggml.model", "none"
    for key, value in (
        ("vocab_size", N_VOCAB),
        ("context_length", 4096),
        ("block_count", len(shape.types)),
        ("embedding_length", N_EMBD),
        ("feed_forward_length", N_FF),
        ("attention.head_count", shape.n_head),
        ("attention.head_count_kv", shape.n_head_kv),
        ("attention.key_length", shape.key_length),
        ("attention.value_length", shape.value_length),
        ("attention.layer_norm_rms_epsilon", NORM_EPSILON),
        ("rope.dimension_count", shape.key_length),
        ("rope.freq_base", ROPE_BASE),
    ):
        yield f"llama.{key}", value


def _text(content: str) -> bytes:
    encoded = content.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _value(value: str | int | float) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    return (
        struct.pack("<If", 6, value) if isinstance(value, float) else struct.pack("<II", 4, value)
    )


def _padded(data: bytes) -> bytes:
    return data.ljust(-(-len(data) // _ALIGNMENT) * _ALIGNMENT, b"\0")
