"""A model of a few hundred kilobytes that llama.cpp loads, tokenizes with, runs and trains."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

from localprompt.gguf.header import read_gguf
from tests.models.tiny_gguf import text, tiny_gguf

WIDTH, HEADS, KV_HEADS, FFN, LAYERS = 32, 4, 2, 64, 2
HEAD = WIDTH // HEADS

_LETTERS = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,:!?'0123456789"
TOKENS = ["<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)], *_LETTERS]
_ARRAY = 9
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
CHAT = "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}[assistant]"


def write_trainable(path: Path, architecture: str = "llama", *, seed: int = 1) -> Path:
    """A model of random 32-bit floats.

    Args:
        architecture: llama; qwen2, with biases on q, k and v; or qwen3, with norms on q and k.
    """
    shapes = _shapes(architecture)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tiny_gguf(
        _metadata(architecture), [(name, shape, "F32") for name, shape in shapes.items()]
    )
    # llama.cpp insists on signed numbers there, which have the same bytes.
    key = text("tokenizer.ggml.token_type") + struct.pack("<I", _ARRAY)
    unsigned, signed = key + struct.pack("<I", 4), key + struct.pack("<I", 5)
    path.write_bytes(content.replace(unsigned, signed))
    head, rng = read_gguf(path), random.Random(seed)
    with path.open("r+b") as file:
        for tensor in head.tensors:
            file.seek(head.data_offset + tensor.offset)
            file.write(_values(tensor.name, tensor.n_elements, rng))
    return path


def _values(name: str, count: int, rng: random.Random) -> bytes:
    if "norm" in name:
        return struct.pack(f"<{count}f", *[1.0] * count)
    return struct.pack(f"<{count}f", *[rng.gauss(0, 0.15) for _ in range(count)])


def _metadata(architecture: str) -> dict[str, Any]:
    kinds = [_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256, *[_NORMAL] * len(_LETTERS)]
    shape = {
        "block_count": LAYERS,
        "context_length": 2048,
        "embedding_length": WIDTH,
        "feed_forward_length": FFN,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        "attention.key_length": HEAD,
        "attention.value_length": HEAD,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.dimension_count": HEAD,
        "rope.freq_base": 10000.0,
        "vocab_size": len(TOKENS),
    }
    return {
        "general.architecture": architecture,
        "general.name": "Trainable",
        "general.license": "mit",
        "general.file_type": 0,
        **{f"{architecture}.{key}": value for key, value in shape.items()},
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.scores": [0.0] * len(TOKENS),
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.chat_template": CHAT,
    }


def _shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    kv = KV_HEADS * HEAD
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (WIDTH, len(TOKENS))}
    for layer in range(LAYERS):
        block = {
            "attn_norm.weight": (WIDTH,),
            "attn_q.weight": (WIDTH, WIDTH),
            "attn_k.weight": (WIDTH, kv),
            "attn_v.weight": (WIDTH, kv),
            "attn_output.weight": (WIDTH, WIDTH),
            "ffn_norm.weight": (WIDTH,),
            "ffn_gate.weight": (WIDTH, FFN),
            "ffn_up.weight": (WIDTH, FFN),
            "ffn_down.weight": (FFN, WIDTH),
        }
        if architecture == "qwen2":
            block |= {"attn_q.bias": (WIDTH,), "attn_k.bias": (kv,), "attn_v.bias": (kv,)}
        if architecture == "qwen3":
            block |= {"attn_q_norm.weight": (HEAD,), "attn_k_norm.weight": (HEAD,)}
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in block.items()}
    return shapes | {"output_norm.weight": (WIDTH,), "output.weight": (WIDTH, len(TOKENS))}
