"""How much memory a model will take, before it is loaded.

The prediction follows what llama.cpp allocates on a CPU, part by part, for the worst case of the
given settings: a prompt that fills a physical batch and a context that fills the KV cache. The
parts and where their formulas come from:

``weights``
    Tensors as they are in the file, mapped (file-backed) or read (anonymous), and copies in a
    layout made for this CPU (:mod:`localprompt.models.layout`). Mapped, both are resident; read,
    only the copies of what was copied.
``kv_cache``
    For each layer: cells × (key heads × key length + value heads × value length), in the types
    chosen; without values where both are one vector (MLA). n_ctx is padded to 256. A layer with a
    sliding window needs min(n_ctx, window × sequences + n_ubatch) cells, also padded to 256
    (llama.cpp: ``llama_kv_cache_iswa``).
``compute``
    Buffers of one graph over n_ubatch tokens, that is, the larger of the feed-forward network
    and attention. Without flash attention the scores (n_ubatch × cells × heads × 4 bytes) are
    held as a whole, and once more as 16 bit to be multiplied with the values. The coefficients
    were found by comparing with the sizes that llama.cpp logs for two architectures, 2026-11-22;
    ``tests/catalog/measured_buffers.csv`` has them. Logits: one row per sequence.
``other``
    What the process takes beside: the vocabulary in llama.cpp's structures, and 4 MiB for
    graphs and its code. Measured, not derived.
``baseline``
    The process before it opens a model: Python, this package, llama.cpp's libraries.

The aim is the peak RSS within 5 % for dense transformers. Mixtures of experts and recurrent
layers are only bounded roughly. A prompt shorter than n_ubatch leaves a part of the compute
buffer untouched, and therefore not resident: then the prediction is too high by up to that part.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from localprompt.errors import InputError, ModelFileError
from localprompt.gguf.tensor_types import BY_NAME, KV_TYPES
from localprompt.models.inspect import ModelInfo, inspect_model
from localprompt.models.layout import PLAIN, Layout, is_mapping_worth_it, layout_here
from localprompt.records.run import RequestedSettings, whole_context

BASELINE_BYTES = 44_000_000
"""A Python process with llama.cpp's libraries and NumPy loaded: measured 43.0 MB (Python 3.11,
x86-64 Linux). Pass the real figure where it is known."""

LIBRARIES_BYTES = 6_200_000
"""Of those, llama.cpp's libraries with their Python bindings: what a baseline lacks that was read
before they were loaded (27.7 MB, then 33.9 MB; same machine)."""

NUMPY_BYTES = 11_600_000
"""NumPy: what a baseline lacks that was read before it was loaded (Python 3.11, x86-64 Linux)."""

# Measured with two vocabularies: SmolLM2 (49,152 tokens, 48,900 merges: 17.5 MB) and Gemma 3
# (262,144 tokens: 43.6 MB).
_BYTES_PER_TOKEN = 166
_BYTES_PER_MERGE = 190
_RUNTIME_BYTES = 4 * 1024**2
# Positions, cell indices and token ids that a graph takes in, per token of the batch.
_INPUT_BYTES_PER_TOKEN = 32


class MemoryPrediction(msgspec.Struct, frozen=True):
    """Estimated bytes, by part; see the module for how each is computed."""

    baseline_bytes: int
    file_bytes: int
    """The tensors as they are in the file."""
    weights_bytes: int
    """Mapped or read, and copied; with those of adapters."""
    repacked_bytes: int
    """Of ``weights_bytes``: the copies in a layout made for this CPU."""
    twice_bytes: int
    """Of ``weights_bytes``: originals that stay mapped beside their copies."""
    kv_cache_bytes: int
    compute_bytes: int
    other_bytes: int

    @property
    def peak_bytes(self) -> int:
        """What the process will have resident at most."""
        return self.baseline_bytes + self.model_bytes

    @property
    def model_bytes(self) -> int:
        """What opening and running the model adds to the process."""
        return self.weights_bytes + self.kv_cache_bytes + self.compute_bytes + self.other_bytes


def predict_memory(
    info: ModelInfo,
    *,
    n_ctx: int,
    n_ubatch: int = 512,
    n_batch: int = 2048,
    type_k: str = "f16",
    type_v: str = "f16",
    flash_attn: bool = True,
    use_mmap: bool | None = None,
    repack: bool = True,
    parallel: int = 1,
    prompt_tokens: int | None = None,
    used_tokens: int | None = None,
    baseline_bytes: int = BASELINE_BYTES,
    layout: Layout | None = None,
    adapter_bytes: int = 0,
) -> MemoryPrediction:
    """Estimate the memory of running a model; nothing is loaded.

    Args:
        info: the model's shape.
        n_ctx, n_ubatch, n_batch, type_k, type_v, flash_attn, use_mmap, repack: as in
            :class:`localprompt.records.run.Settings`.
        parallel: sequences decoded together.
        prompt_tokens: of the longest prompt; None assumes that it fills a physical batch.
        used_tokens: that the KV cache will hold at most; None assumes that they fill it.
        baseline_bytes: resident before the model is opened.
        layout: what llama.cpp does with weights on this CPU; None asks the machine.
        adapter_bytes: of the matrices of all adapters, which are read beside the weights.

    Raises:
        InputError: a KV cache type that does not exist, or sizes below 1.
    """
    if min(n_ctx, n_ubatch, n_batch, parallel) < 1:
        raise InputError(
            "sizes must be at least 1",
            found=f"n_ctx {n_ctx}, n_ubatch {n_ubatch}, n_batch {n_batch}, parallel {parallel}",
        )
    cells = whole_context(n_ctx)
    n_ubatch = min(n_ubatch, n_batch, cells)
    used = cells if used_tokens is None else min(cells, whole_context(max(1, used_tokens)))
    window = info.n_swa * parallel + n_ubatch
    graph = _Graph(
        tokens=n_ubatch if prompt_tokens is None else max(1, min(n_ubatch, prompt_tokens)),
        cells=cells,
        used_cells=used,
        sliding_cells=whole_context(min(cells, window)) if info.n_swa else 0,
        sequences=parallel,
        flash_attn=flash_attn,
    )
    weights, copied, twice = _weights(info, _layout(layout, repack=repack), mapped=use_mmap)
    return MemoryPrediction(
        baseline_bytes=baseline_bytes,
        file_bytes=info.weights_bytes,
        weights_bytes=weights + adapter_bytes,
        repacked_bytes=copied,
        twice_bytes=twice,
        kv_cache_bytes=_kv_cache(info, graph, type_k, type_v),
        compute_bytes=_compute_buffer(info, graph)
        + _work(info, graph)
        + parallel * info.n_vocab * 4,
        other_bytes=info.n_vocab * _BYTES_PER_TOKEN
        + info.n_merges * _BYTES_PER_MERGE
        + _RUNTIME_BYTES,
    )


def with_mapping_decided(settings: RequestedSettings, path: Path) -> RequestedSettings:
    """The settings with ``use_mmap`` said; as they are where it is, or the file says nothing."""
    if settings.use_mmap is not None:
        return settings
    try:
        mapped = maps_weights(inspect_model(path), repack=settings.repack)
    except ModelFileError:
        return settings  # whoever opens it says why
    return msgspec.structs.replace(settings, use_mmap=mapped)


def maps_weights(info: ModelInfo, *, repack: bool = True, layout: Layout | None = None) -> bool:
    """Whether the model's file is mapped where nobody says; otherwise it is read."""
    copies = _layout(layout, repack=repack).copies(info.repackable)
    return is_mapping_worth_it(copies, info.weights_bytes)


def _weights(info: ModelInfo, layout: Layout, *, mapped: bool | None) -> tuple[int, int, int]:
    """Bytes of all weights; of these in copies; and of originals that stay mapped beside them."""
    copies = layout.copies(info.repackable)
    if mapped is None:
        mapped = is_mapping_worth_it(copies, info.weights_bytes)
    twice = copies.moved_bytes if mapped else 0
    whole = info.weights_bytes - copies.moved_bytes + copies.size_bytes + twice
    return whole, copies.size_bytes, twice


def _layout(given: Layout | None, *, repack: bool) -> Layout:
    if not repack:
        return PLAIN
    return layout_here() if given is None else given


class _Graph(msgspec.Struct, frozen=True):
    """What one evaluation spans."""

    tokens: int
    """Of the physical batch."""
    cells: int
    """Of the KV cache, in layers that attend to everything."""
    used_cells: int
    """Of these, up to the last that holds something. Scores and masks span no more, and the rest
    of their buffer is never touched: it is not resident."""
    sliding_cells: int
    """In layers with a window; 0 without any."""
    sequences: int
    flash_attn: bool


def _kv_cache(info: ModelInfo, graph: _Graph, type_k: str, type_v: str) -> int:
    total = 0
    for heads, slides in zip(info.n_head_kv, info.sliding_layers, strict=True):
        of_cell = _cell_bytes("type_k", type_k, heads * info.key_length)
        of_cell += _cell_bytes("type_v", type_v, 0 if info.latent else heads * info.value_length)
        total += of_cell * (graph.sliding_cells if slides else graph.cells)
    return total


def _cell_bytes(setting: str, name: str, elements: int) -> int:
    tensor_type = BY_NAME.get(name.upper())
    if tensor_type is None or tensor_type.name.lower() not in KV_TYPES:
        raise InputError(
            "unknown type for the KV cache",
            where=setting,
            expected=", ".join(KV_TYPES),
            found=name,
        )
    return tensor_type.bytes_for(elements)


def _compute_buffer(info: ModelInfo, graph: _Graph) -> int:
    """The buffer that llama.cpp logs as "compute buffer size"."""
    tokens = graph.tokens
    queries = info.n_head * info.key_length
    keys = max(info.n_head_kv, default=0) * info.key_length
    mask = (2 if graph.flash_attn else 4) * tokens * (graph.used_cells + graph.sliding_cells)
    feed_forward = 4 * tokens * (3 * info.n_ff + 3 * info.n_embd + queries)
    attention = 0
    if not graph.flash_attn:
        attention = 4 * tokens * (info.n_embd + 3 * queries + 5 * keys)
        attention += 4 * tokens * graph.used_cells * info.n_head
    logits = 4 * (graph.sequences * info.n_vocab + tokens * info.n_embd)
    return mask + tokens * _INPUT_BYTES_PER_TOKEN + max(feed_forward, attention, logits)


def _work(info: ModelInfo, graph: _Graph) -> int:
    """Scratch of the widest product: its input, converted to the type of the weights' partner.

    Q8 partners take up to 36 bytes for 32 elements; 16 bit scores 2 bytes for each.
    """
    widest = graph.tokens * max(info.n_ff, info.n_embd) * 36 // 32
    scores = 0 if graph.flash_attn else 2 * graph.tokens * graph.used_cells * info.n_head
    return max(widest, scores)
