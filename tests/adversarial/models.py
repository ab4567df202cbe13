"""A model of a few kilobytes that llama.cpp really runs, and what strangers make of its file.

The mutator knows the format: it takes the file apart into keys and tensors, spoils one or a few of
them, and writes them again so that everything else stays right. Bytes at random are the smaller
part: most of those die at the first length and reach nothing.
"""

from __future__ import annotations

import random
import struct
from typing import Any

from tests.models.tiny_gguf import _IDS, Signed, tiny_gguf
from tests.models.tiny_gguf import text as packed_text
from tests.models.tiny_lora import METADATA as LORA_METADATA
from tests.models.tiny_lora import pair

WIDTH, LAYERS, FEED = 64, 2, 96
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_WORDS = ["▁", *[f"▁{a}" for a in "abcdefghijklmnopqrstuvwxyz"], *"abcdefghijklmnopqrstuvwxyz"]
TOKENS = ["<unk>", "<s>", "</s>", *_BYTES, *_WORDS]
METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.file_type": 7,
    "llama.block_count": LAYERS,
    "llama.context_length": 256,
    "llama.embedding_length": WIDTH,
    "llama.feed_forward_length": FEED,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.dimension_count": 16,
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.scores": [-1.0 - index for index in range(len(TOKENS))],
    "tokenizer.ggml.token_type": [*map(Signed, (2, 3, 3, *[6] * 256, *[1] * len(_WORDS)))],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}",
}
_MATRICES = {
    "attn_q": (WIDTH, WIDTH),
    "attn_k": (WIDTH, WIDTH // 2),
    "attn_v": (WIDTH, WIDTH // 2),
    "attn_output": (WIDTH, WIDTH),
    "ffn_gate": (WIDTH, FEED),
    "ffn_up": (WIDTH, FEED),
    "ffn_down": (FEED, WIDTH),
}
Tensor = tuple[str, tuple[int, ...], str]
TENSORS: list[Tensor] = [
    ("token_embd.weight", (WIDTH, len(TOKENS)), "Q8_0"),
    *[
        (f"blk.{layer}.{name}.weight", shape, "Q8_0")
        for layer in range(LAYERS)
        for name, shape in _MATRICES.items()
    ],
    *[
        (f"blk.{layer}.{name}_norm.weight", (WIDTH,), "F32")
        for layer in range(LAYERS)
        for name in ("attn", "ffn")
    ],
    ("output_norm.weight", (WIDTH,), "F32"),
]
_NUMBERS = (0, 1, 2, 3, 5, 63, 1000, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63)
_TEXTS = ("", "none", "gpt2", "bert", "x" * 5000, "\x1b]0;x\x07", "{{ 1/0 }}", "�", "llama")
_TEMPLATES = (
    "{{ strftime_now('%Y' * 1000000) }}",
    "{% for a in range(10**9) %}x{% endfor %}",
    "{{ ''.__class__.__mro__ }}",
    "{{ raise_exception('no') }}",
    "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ messages[0].content * 10**9 }}",
    "{% include '/etc/passwd' %}",
    "{{",
)


def working_gguf() -> bytes:
    """The model as it should be; its matrices are zeros."""
    return tiny_gguf(METADATA, TENSORS)


def mutated_adapter(rng: random.Random) -> bytes:
    """An adapter of the working model with one or two things wrong with it."""
    matrices = [one for one in TENSORS if one[0].endswith(("attn_q.weight", "ffn_up.weight"))]
    tensors = [part for name, (n_in, n_out), _ in matrices for part in pair(name, n_in, n_out)]
    metadata = dict(LORA_METADATA)
    for _ in range(rng.choice((0, 1, 1, 2))):
        if rng.random() < 0.5:
            _spoil_key(rng, metadata)
        else:
            _spoil_tensor(rng, tensors)
    try:
        data = tiny_gguf(metadata, tensors)
    except (struct.error, OverflowError, KeyError, MemoryError):
        return b"GGUF"
    return _broken_bytes(rng, data) if rng.random() < 0.3 else data


def mutated(rng: random.Random) -> bytes:
    """A file with one to three things wrong with it."""
    if rng.random() < 0.2:
        return _broken_bytes(rng, working_gguf())
    metadata, tensors = dict(METADATA), list(TENSORS)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if rng.random() < 0.6:
            _spoil_key(rng, metadata)
        else:
            _spoil_tensor(rng, tensors)
    try:
        data = tiny_gguf(metadata, tensors)
    except (struct.error, OverflowError, KeyError, MemoryError):
        return _broken_bytes(rng, working_gguf())
    return _broken_bytes(rng, data) if rng.random() < 0.05 else data


def _spoil_key(rng: random.Random, metadata: dict[str, Any]) -> None:
    key = rng.choice(list(metadata))
    value = metadata[key]
    kind = rng.randrange(8)
    if kind == 0:
        del metadata[key]
    elif kind == 1:
        metadata[rng.choice((key.upper(), key + ".x", "k" * 60_000, "general.alignment"))] = value
    elif kind == 2:
        metadata[key] = rng.choice((*_NUMBERS, 0.5, float("nan"), True, "text", ["a"], [1, 2]))
    elif isinstance(value, list):
        metadata[key] = _spoiled_list(rng, value)
    elif isinstance(value, str):
        choices = _TEMPLATES if key.endswith("template") else _TEXTS
        metadata[key] = rng.choice(choices)
    elif isinstance(value, int):
        metadata[key] = rng.choice((*_NUMBERS, value + 1, [value] * LAYERS, [3, 9]))
    else:
        metadata[key] = rng.choice((0.0, -1.0, float("inf"), float("nan"), 1e30))
    for extra, most in (("llama.expert_count", 600), ("llama.expert_used_count", 9)):
        if rng.random() < 0.05:
            metadata[extra] = rng.randrange(most)


def _spoiled_list(rng: random.Random, value: list[Any]) -> list[Any]:
    items = list(value)
    kind = rng.randrange(6)
    if kind == 0:
        return items[: rng.randrange(len(items))]
    if kind == 1:
        return [items[0]] * len(items)
    if kind == 2:
        return items * 2
    if kind == 3:
        return [0.5 if isinstance(items[0], int) else 7] * len(items)
    at = rng.randrange(len(items))
    if isinstance(items[0], str):
        items[at] = rng.choice(("", "x" * 1_000_000, items[0], "\x00", "a\nb", "�"))
    else:
        items[at] = rng.choice((0, 1, 99, 2**31))
    return items


def _spoil_tensor(rng: random.Random, tensors: list[Tensor]) -> None:
    at = rng.randrange(len(tensors))
    name, shape, kind = tensors[at]
    what = rng.randrange(6)
    if what == 0:
        del tensors[at]
    elif what == 1:
        tensors.append(tensors[at])
    elif what == 2:
        names = (name.replace("blk.0", "blk.7"), name + "x", "", "x" * 70, "a" * 5000)
        tensors[at] = (rng.choice(names), shape, kind)
    elif what == 3:
        tensors[at] = (name, shape, rng.choice(list(_IDS)))
    else:
        sizes = (0, 1, 32, 64, 96, 4096, 2**31, 2**62)
        changed = list(shape)
        changed[rng.randrange(len(shape))] = rng.choice(sizes)
        if rng.random() < 0.3:
            changed.append(rng.choice(sizes))
        if _elements(changed) > 10_000_000:
            return
        tensors[at] = (name, tuple(changed), kind)


def _elements(shape: list[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _broken_bytes(rng: random.Random, data: bytes) -> bytes:
    """Bits turned in the header, or the file cut off."""
    broken = bytearray(data)
    if rng.random() < 0.2:
        return bytes(broken[: rng.randrange(len(broken))])
    head = min(len(broken), 12_000)
    for _ in range(rng.choice((1, 1, 2, 8))):
        broken[rng.randrange(head)] = rng.randrange(256)
    return bytes(broken)


def with_key(key: str, value: bytes) -> bytes:
    """The working model with one more entry, given as bytes: type, then content."""
    data = working_gguf()
    count = struct.unpack_from("<Q", data, 16)[0]
    return data[:16] + struct.pack("<Q", count + 1) + packed_text(key) + value + data[24:]
