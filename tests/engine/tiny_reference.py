"""The logits of the proof's tiny model without llama.cpp: NumPy, in 64 bit.

Only unpacking the weights is left to ggml, to its scalar reference code, which is no part of what
the proof is about. ``python -m tests.engine.tiny_reference`` writes what the package ships.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from localprompt.engine.llama.ggml_library import bound
from localprompt.engine.llama.proof import tiny, verdict

Array = npt.NDArray[np.float64]


class _Traits(ctypes.Structure):
    """The beginning of ``struct ggml_type_traits``."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("block_elements", ctypes.c_int64),
        ("interleaved", ctypes.c_int64),
        ("block_bytes", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
    )


def weights() -> dict[str, Array]:
    """Name → matrix (rows × columns) or vector."""
    return {tensor.name: _unpacked(tensor) for tensor in tiny.tensors()}


def logits(of: dict[str, Array]) -> list[list[float]]:
    """As the child says them: at the compared positions of the batch, then of the next token."""
    tokens = (*tiny.BATCH_TOKENS, tiny.NEXT_TOKEN)
    x = of["token_embd.weight"][list(tokens)]
    for layer in range(len(tiny.PROOF.types)):

        def w(name: str, block: str = f"blk.{layer}") -> Array:
            return of[f"{block}.{name}.weight"]

        normed = _norm(x) * w("attn_norm")
        mixed = _attention(*(normed @ w(f"attn_{name}").T for name in "qkv"))
        x = x + mixed @ w("attn_output").T
        normed = _norm(x) * w("ffn_norm")
        gate = normed @ w("ffn_gate").T
        x = x + (gate / (1 + np.exp(-gate)) * (normed @ w("ffn_up").T)) @ w("ffn_down").T
    every: Array = (_norm(x) * of["output_norm.weight"]) @ of["output.weight"].T
    rows: list[list[float]] = every[[*tiny.COMPARED, len(tokens) - 1]].tolist()
    return rows


def _attention(queries: Array, keys: Array, values: Array) -> Array:
    """Causal; all query heads share the only key and value head."""
    count = len(queries)
    heads = _rotated(queries.reshape(count, tiny.PROOF.n_head, tiny.HEAD))
    key = _rotated(keys.reshape(count, 1, tiny.HEAD))[:, 0]
    scores = np.einsum("ihd,jd->hij", heads, key) / np.sqrt(tiny.HEAD)
    scores += np.triu(np.full((count, count), -np.inf), 1)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    mixed: Array = np.einsum("hij,jd->ihd", shares, values).reshape(count, -1)
    return mixed


def _rotated(heads: Array) -> Array:
    """Rotary positions as llama has them: neighbours are a pair."""
    count = len(heads)
    pairs = np.arange(tiny.HEAD // 2)
    angles = np.arange(count)[:, None] * tiny.ROPE_BASE ** (-2 * pairs / tiny.HEAD)
    cos, sin = np.cos(angles)[:, None, :], np.sin(angles)[:, None, :]
    even, odd = heads[..., 0::2], heads[..., 1::2]
    out = np.empty_like(heads)
    out[..., 0::2], out[..., 1::2] = even * cos - odd * sin, even * sin + odd * cos
    return out


def _norm(x: Array) -> Array:
    normed: Array = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + tiny.NORM_EPSILON)
    return normed


def _unpacked(tensor: tiny.Tensor) -> Array:
    data = tiny.contents(tensor)
    elements = int(np.prod(tensor.shape))
    if tensor.type == "F32":
        return np.frombuffer(data, dtype="<f4").astype(np.float64)
    traits: Callable[[int], Any] = bound(
        {"ggml_get_type_traits": (ctypes.POINTER(_Traits), (ctypes.c_int,))}
    )["ggml_get_type_traits"]
    packed = ctypes.create_string_buffer(data, len(data))
    out = np.zeros(elements, dtype=np.float32)
    traits(tiny.TYPE_IDS[tensor.type]).contents.to_float(
        ctypes.addressof(packed), out.ctypes.data, elements
    )
    return out.astype(np.float64).reshape(tensor.shape[::-1])


if __name__ == "__main__":
    rounded = [[round(value, 5) for value in row] for row in logits(weights())]
    Path(verdict.REFERENCE).write_text(json.dumps(rounded) + "\n", encoding="utf-8")
