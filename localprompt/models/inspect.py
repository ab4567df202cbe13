"""What a model is, from the head of its GGUF file; the weights are not touched.

GGUF names a model's shape by keys that begin with its architecture (``llama.block_count``).
Here they become one record with the names that llama.cpp uses. What a file does not say is
filled in as llama.cpp does it, or is None.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from localprompt.errors import ModelFileError
from localprompt.gguf.adapter import is_adapter
from localprompt.gguf.header import GgufFile, SkippedArray, TensorInfo
from localprompt.gguf.splits import parts_of, read_model
from localprompt.gguf.tensor_types import FILE_TYPES
from localprompt.models.layout import Matrices, matrices_of
from localprompt.models.soundness import check_runnable

# Every how many layers one attends to everything, where the file does not say: llama.cpp's
# load_swa_pattern calls. Other architectures count as attending fully, which errs upwards.
_SLIDING_PERIOD = {
    "afmoe": 4,
    "cohere2": 4,
    "exaone4": 4,
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "llama4": 4,
    "olmo2": 4,
    "plamo3": 8,
}


_LONGEST_NAME = 200
_LONGEST_TEMPLATE = 1 << 20


class TensorTypeShare(msgspec.Struct, frozen=True):
    """How much of a model is stored in one type."""

    type: str
    tensors: int
    parameters: int
    size_bytes: int


_CAPPED = frozenset({"gemma2", "grok"})
"""Architectures whose scores llama.cpp caps, whether the file says so or not."""
_RECURRENT = (".ssm_", ".time_mix_", ".shortconv.")
"""What llama.cpp calls the tensors of such layers."""


class ModelInfo(msgspec.Struct, frozen=True):
    """The shape of a model, and what its file says about itself."""

    path: str
    size_bytes: int
    """Of the file."""
    weights_bytes: int
    """Of the tensors."""
    architecture: str
    name: str | None
    licence: str | None
    parameters: int
    """Sum of the elements of all tensors."""
    file_type: str
    """Name of the quantization recipe: Q4_1, Q4_K_M, …; the type with the most bytes where the
    file does not name one."""
    tensor_types: tuple[TensorTypeShare, ...]
    """Most bytes first."""
    n_layer: int
    n_embd: int
    n_ff: int
    """Width of the feed-forward network; of the widest layer, and for a mixture of experts of
    the experts that one token uses together."""
    n_head: int
    n_head_kv: tuple[int, ...]
    """Key and value heads of each layer."""
    key_length: int
    """Elements of one head's key."""
    value_length: int
    n_expert: int
    """0: dense."""
    n_expert_used: int
    n_vocab: int
    n_merges: int
    """Rules of a byte-pair tokenizer; 0 for the others."""
    n_ctx_train: int
    n_swa: int
    """Sliding window in tokens; 0: every layer attends to everything."""
    sliding_layers: tuple[bool, ...]
    """Which layers attend only to the window."""
    rope_freq_base: float | None
    rope_dimensions: int | None
    rope_scaling: str | None
    bos_token_id: int | None
    eos_token_id: int | None
    chat_template: str | None
    """Jinja2; None for a base model."""
    tied_embeddings: bool
    """The output matrix is the token embedding, stored once."""
    repackable: tuple[Matrices, ...]
    """The matrices that llama.cpp may copy into a layout made for the CPU; see
    :mod:`localprompt.models.layout`."""
    recurrent: bool = False
    """Whether a layer keeps a state of its own kind (Mamba, RWKV, short convolutions), with a KV
    cache beside it or without."""
    latent: bool = False
    """Whether keys and values are one compressed vector (MLA): the cache has no values."""
    sinks: bool = False
    """Whether heads have sinks, which take a share of every token's attention."""
    capped: bool = False
    """Whether scores of attention go through a soft cap."""
    causal: bool = True
    """False: every token sees all others, and nothing is kept between evaluations."""


def inspect_model(path: Path) -> ModelInfo:
    """Read a model's shape; files that did not change are read once in a process.

    Raises:
        ModelFileError: as :func:`localprompt.gguf.splits.read_model`, or the file is a GGUF that
            does not describe a language model, or one that llama.cpp cannot run.
    """
    try:
        of_parts = [part.stat() for part in parts_of(path)]
    except OSError:
        return describe(read_model(path))  # which says what is wrong with the file
    return _inspected(path, tuple((s.st_ino, s.st_size, s.st_mtime_ns) for s in of_parts))


@functools.lru_cache(maxsize=8)
def _inspected(path: Path, _files: tuple[tuple[int, int, int], ...]) -> ModelInfo:
    head = read_model(path)
    info = describe(head)
    check_runnable(head)
    return info


def describe(head: GgufFile) -> ModelInfo:
    """:func:`inspect_model` for a head that was read already."""
    if is_adapter(head.metadata):
        raise ModelFileError(
            "this file is a LoRA adapter, not a model",
            where=str(head.path),
            next_step=f"-m MODEL --lora {shlex.quote(str(head.path))}",
        )
    values = _Values(head)
    architecture = values.architecture
    n_layer, n_embd = values.number("block_count"), values.number("embedding_length")
    n_head = max(values.per_layer("attention.head_count", n_layer, 0), default=0)
    head_length = n_embd // n_head if n_head else 0
    n_swa = values.optional_number("attention.sliding_window") or 0
    sliding = _sliding_layers(values, architecture, n_layer) if n_swa else (False,) * n_layer
    names = {tensor.name for tensor in head.tensors}
    types = _shares(head.tensors)
    tied = "output.weight" not in names
    return ModelInfo(
        path=str(head.path),
        size_bytes=head.size_bytes,
        weights_bytes=sum(share.size_bytes for share in types),
        architecture=architecture,
        name=values.name("general.name"),
        licence=values.name("general.license"),
        parameters=sum(share.parameters for share in types),
        file_type=_file_type(values, types),
        tensor_types=types,
        n_layer=n_layer,
        n_embd=n_embd,
        n_ff=_feed_forward(values, n_layer),
        n_head=n_head,
        n_head_kv=values.per_layer("attention.head_count_kv", n_layer, n_head),
        key_length=values.optional_number("attention.key_length") or head_length,
        value_length=values.optional_number("attention.value_length") or head_length,
        n_expert=values.optional_number("expert_count") or 0,
        n_expert_used=values.optional_number("expert_used_count") or 0,
        n_vocab=_vocabulary(values, head),
        n_merges=values.count("tokenizer.ggml.merges"),
        n_ctx_train=values.number("context_length"),
        n_swa=n_swa if any(sliding) else 0,
        sliding_layers=sliding,
        rope_freq_base=values.real("rope.freq_base"),
        rope_dimensions=values.optional_number("rope.dimension_count"),
        rope_scaling=values.name(f"{architecture}.rope.scaling.type"),
        bos_token_id=values.optional_number("tokenizer.ggml.bos_token_id", absolute=True),
        eos_token_id=values.optional_number("tokenizer.ggml.eos_token_id", absolute=True),
        chat_template=_chat_template(values),
        tied_embeddings=tied,
        repackable=matrices_of(head.tensors, tied_embeddings=tied),
        recurrent=any(part in name for name in names for part in _RECURRENT),
        latent=bool(values.optional_number("attention.key_length_mla")),
        sinks=any(".attn_sinks." in name for name in names),
        capped=bool(values.real("attn_logit_softcapping")) or architecture in _CAPPED,
        causal=head.metadata.get(f"{architecture}.attention.causal") is not False,
    )


class _Values:
    """The metadata with the types that the keys must have; keys are the architecture's own."""

    def __init__(self, head: GgufFile) -> None:
        self._head = head
        architecture = self.text("general.architecture")
        if architecture is None or len(architecture) > _LONGEST_NAME:
            raise self.bad("general.architecture", "a name", architecture and architecture[:40])
        self.architecture = architecture

    def number(self, key: str) -> int:
        value = self.optional_number(key)
        if value is None:
            raise self.bad(f"{self.architecture}.{key}", "a whole number", None)
        return value

    def optional_number(self, key: str, *, absolute: bool = False) -> int | None:
        """A whole number, not negative; an array counts as its largest item."""
        full = key if absolute else f"{self.architecture}.{key}"
        value = self._head.metadata.get(full)
        if isinstance(value, tuple) and value:
            value = max(value)
        if value is not None and (type(value) is not int or not 0 <= value < 2**40):
            raise self.bad(full, "a whole number", value)
        return value

    def per_layer(self, key: str, n_layer: int, default: int) -> tuple[int, ...]:
        """One number for each layer, from an array or from one number for all."""
        value = self._head.metadata.get(f"{self.architecture}.{key}", default)
        items = value if isinstance(value, tuple) else (value,) * min(n_layer, 100_000)
        if len(items) < n_layer or not all(type(item) is int and item >= 0 for item in items):
            raise self.bad(f"{self.architecture}.{key}", f"{n_layer} whole numbers", value)
        return items[:n_layer]

    def real(self, key: str) -> float | None:
        value = self._head.metadata.get(f"{self.architecture}.{key}")
        return float(value) if isinstance(value, float | int) else None

    def flags(self, key: str) -> Sequence[Any] | int | None:
        """An array of booleans, or a period."""
        value = self._head.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, tuple | int) else None

    def text(self, key: str) -> str | None:
        value = self._head.metadata.get(key)
        return value if isinstance(value, str) else None

    def name(self, key: str) -> str | None:
        """A text that is shown, cut where nobody would read on."""
        value = self.text(key)
        return value if value is None or len(value) <= _LONGEST_NAME else f"{value[:199]}…"

    def count(self, key: str) -> int:
        """Length of an array; 0 where there is none."""
        value = self._head.metadata.get(key)
        if isinstance(value, SkippedArray):
            return value.count
        return len(value) if isinstance(value, tuple) else 0

    def bad(self, key: str, expected: str, found: object) -> ModelFileError:
        return ModelFileError(
            "the file does not describe a language model that can be run",
            where=f"{self._head.path}: {key}",
            expected=expected,
            found="nothing" if found is None else str(found)[:80],
        )


def _chat_template(values: _Values) -> str | None:
    text = values.text("tokenizer.chat_template")
    if text is not None and len(text) > _LONGEST_TEMPLATE:
        raise values.bad(
            "tokenizer.chat_template",
            f"at most {_LONGEST_TEMPLATE:,} characters",
            f"{len(text):,} characters",
        )
    return text


def _shares(tensors: Sequence[TensorInfo]) -> tuple[TensorTypeShare, ...]:
    shares: dict[str, TensorTypeShare] = {}
    for tensor in tensors:
        name = tensor.type.name
        had = shares.get(name, TensorTypeShare(name, 0, 0, 0))
        shares[name] = TensorTypeShare(
            name,
            had.tensors + 1,
            had.parameters + tensor.n_elements,
            had.size_bytes + tensor.n_bytes,
        )
    return tuple(sorted(shares.values(), key=lambda share: -share.size_bytes))


def _file_type(values: _Values, types: tuple[TensorTypeShare, ...]) -> str:
    number = values.optional_number("general.file_type", absolute=True)
    named = FILE_TYPES.get(number) if number is not None else None
    return named or (types[0].type if types else "unknown")


def _feed_forward(values: _Values, n_layer: int) -> int:
    dense = max(values.per_layer("feed_forward_length", n_layer, 0), default=0)
    expert = values.optional_number("expert_feed_forward_length") or 0
    return max(dense, expert * (values.optional_number("expert_used_count") or 0))


def _vocabulary(values: _Values, head: GgufFile) -> int:
    tokens = values.count("tokenizer.ggml.tokens") or values.optional_number("vocab_size")
    if tokens:
        return tokens
    embedding = next((t for t in head.tensors if t.name == "token_embd.weight"), None)
    return embedding.shape[-1] if embedding and embedding.shape else 0


def _sliding_layers(values: _Values, architecture: str, n_layer: int) -> tuple[bool, ...]:
    pattern = values.flags("attention.sliding_window_pattern")
    if isinstance(pattern, Sequence):
        flags = tuple(bool(flag) for flag in pattern[:n_layer])
        return flags + (False,) * (n_layer - len(flags))
    period = pattern or _SLIDING_PERIOD.get(architecture)
    if not period:
        return (False,) * n_layer
    return tuple(layer % period < period - 1 for layer in range(n_layer))
