"""Peak training memory by its parts, from a model's shape and a recipe.

Nothing here is fitted row by row: each function counts the tensors that the stack's source code
keeps alive, in bytes. P is the number of parameters, T the tokens of a micro batch, e the bytes of
one activation (2; 4 in full fp32).

*States.* Mixed precision: 2 (weights) + 2 (gradients) + 12 (32-bit master copy and two moments)
bytes per parameter: ZeRO, arXiv 1910.02054. Everything in fp32: 4 + 4 + 8. Everything in 16 bit:
2 + 2 + 4, because torch makes moments of the weights' type. 8-bit moments: 2 + 2 + 2, and block
scales (arXiv 2110.02861). Stepping needs room of its own: torch's multi-tensor AdamW makes
temporaries as large as the weights; DeepSpeed copies gradients to fp32 in groups of 1e9.

*Activations.* The per-layer count of Korthikanti et al., arXiv 2205.05198, taken apart so that
gated MLPs, grouped heads and frozen weights have their own terms (``saved_per_token``): a frozen
linear layer does not keep its input, a trained, adapted or 4-bit one does. Attention is assumed
to be of the flash kind, so the 5·a·s² term of that paper does not arise. With recomputation one
h·e per layer and token stays, and one layer at a time is expanded.

*Logits.* The largest single tensors of small models: T · V times the bytes of all the copies that
the stack's loss makes (``Stack.logit_bytes``: 8 in pure 16 bit, 18 where logits are cast to fp32).

*Peak.* The end of the forward pass (activations and logits) and the optimizer's step (its
temporaries) do not happen at the same time: the larger counts.

The ranges are judgement: what versions and settings of the same stack differ by, each part at
most ±35 %.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from localprompt.finetune.estimate.recipe import BITS_PER_WEIGHT, Recipe
from localprompt.finetune.estimate.shapes import ModelShape
from localprompt.stats.ranges import ZERO, Range

_FULL_BYTES: dict[str, tuple[float, float, float]] = {
    # weights, gradients, optimizer: bytes per parameter
    "full-fp32": (4, 4, 8),
    "full-mixed": (2, 2, 12),
    "full-16bit": (2, 2, 4),
    # two 8-bit moments, and a 32-bit scale for each block of 256 of them
    "full-8bit": (2, 2, 2 + 2 * 4 / 256),
}
_GROUP = 1_000_000_000  # DeepSpeed's sub_group_size and max_live_parameters
_GATHER_SLACK = 0.10  # gathering and freeing matrices of all sizes leaves holes


class MemoryEstimate(msgspec.Struct, frozen=True):
    """Peak memory of one GPU (or of the process, on a CPU) in bytes, by its parts."""

    weights_bytes: Range
    gradients_bytes: Range
    optimizer_bytes: Range
    """Moments, 32-bit master weights, and the step's temporaries if the peak is there."""
    activations_bytes: Range
    logits_bytes: Range
    adapter_bytes: Range
    """Adapter weights, their gradients and moments."""
    overhead_bytes: Range
    """Context of the process, buffers, dequantized matrices, what the allocator does not use."""
    total_bytes: Range
    all_gpus_bytes: Range
    """The total times the number of GPUs."""
    peak_at: Literal["forward", "step"]
    """Whether the parts are those at the end of the forward pass or those of the step."""


def estimate_memory(shape: ModelShape, recipe: Recipe) -> MemoryEstimate:
    """Peak memory of one device; parts add up to the total, end by end."""
    if recipe.method == "cpu-llama.cpp":
        return _on_cpu(shape, recipe)
    return _with_adapter(shape, recipe) if recipe.trains_adapter else _full(shape, recipe)


def adapter_parameters(shape: ModelShape, recipe: Recipe) -> int:
    """Σ r·(d_in + d_out) over the adapted matrices (LoRA, arXiv 2106.09685)."""
    h, q, kv, f = shape.hidden, shape.attention_width, shape.kv_width, shape.ffn
    widths = {
        "q": h + q,
        "k": h + kv,
        "v": h + kv,
        "o": q + h,
        "mlp": (3 if shape.gated else 2) * (h + f),
    }
    blocks = shape.layers * sum(widths.get(target, 0) for target in recipe.targets)
    head = h + shape.vocab if "head" in recipe.targets else 0
    return recipe.rank * (blocks + head)


def whole_parameters(shape: ModelShape, recipe: Recipe) -> int:
    """Parameters trained whole beside the adapter: embeddings and head, where targeted."""
    if "embeddings" not in recipe.targets:
        return 0
    return shape.embedding_parameters * (1 if shape.tied_embeddings else 2)


def trainable_parameters(shape: ModelShape, recipe: Recipe) -> int:
    """How many parameters change. llama.cpp never trains the token embeddings."""
    if recipe.trains_adapter:
        return adapter_parameters(shape, recipe) + whole_parameters(shape, recipe)
    frozen = shape.embedding_parameters if recipe.method == "cpu-llama.cpp" else 0
    return shape.parameters - frozen


def _held_parameters(shape: ModelShape, recipe: Recipe) -> int:
    """Parameters in memory: a tied head is a second tensor where the stack does not share it."""
    split = shape.tied_embeddings and not recipe.stack.shares_head
    return shape.parameters + (shape.embedding_parameters if split else 0)


def saved_per_token(shape: ModelShape, recipe: Recipe) -> float:
    """Bytes that one layer keeps for the backward pass of one token, nothing recomputed."""
    e = 4 if recipe.method == "full-fp32" else 2
    h, q, kv, f = shape.hidden, shape.attention_width, shape.kv_width, shape.ffn
    # bitsandbytes and GPTQ kernels keep the input of a 4-bit matrix although it is frozen.
    keeps_inputs = not recipe.trains_adapter or recipe.method == "qlora"

    def linear_input(width: int, adapted: bool) -> int:
        kept = e * width if keeps_inputs else 0
        # The adapter's input after dropout, and dropout's mask of one byte.
        return kept + ((e + 1) * width if adapted and recipe.trains_adapter else 0)

    targets = recipe.targets
    # RMSNorm is computed in fp32 and keeps that copy; LayerNorm keeps its input.
    norms = shape.norms_per_layer * (4 if shape.norm == "rms" else e) * h
    residual = 2 * e * h
    # q, k and v with k and v repeated for every head, the output, k and v before the repeat.
    attention = e * (4 * q + 2 * kv)
    mlp = e * (3 if shape.gated else 1) * f
    inputs = (
        linear_input(h, bool({"q", "k", "v"} & set(targets)))
        + linear_input(q, "o" in targets)
        + linear_input(h, "mlp" in targets)
        + linear_input(f, "mlp" in targets)
    )
    return norms + residual + attention + mlp + inputs


def _activations_and_logits(shape: ModelShape, recipe: Recipe) -> tuple[Range, Range]:
    """What the backward pass needs, at the worse of two moments.

    Without recomputation that is the end of the forward pass: all activations, and the loss. With
    it, either the loss beside the layers' inputs, or, when the logits are gone, one layer expanded.
    """
    tokens = recipe.micro_batch_tokens
    layer = recipe.stack.layer_share * saved_per_token(shape, recipe)
    logits = _logits(shape, recipe)
    kept = tokens * shape.layers * layer
    if recipe.recompute:
        e = 4 if recipe.method == "full-fp32" else 2
        # Two layers' inputs are on their way where the others wait in host memory.
        inputs = 2 if recipe.stack.offloads else shape.layers
        kept = tokens * inputs * e * shape.hidden
        if tokens * layer > logits:
            kept, logits = kept + tokens * layer, 0
    return Range.around(kept, 0.20, 0.20), Range.around(logits, 0.30, 0.30)


def _logits(shape: ModelShape, recipe: Recipe) -> float:
    """Bytes of the logits that exist at once, and of the loss that is computed from them.

    A fused loss (Liger-Kernel, ``fused_linear_cross_entropy``) works through ⌈vocab ÷ hidden⌉
    chunks whose length is rounded up to a power of two, and keeps the gradient of its input.
    """
    tokens = recipe.micro_batch_tokens
    chunk, gradient = tokens, 0
    if recipe.stack.loss == "fused":
        share = math.ceil(tokens / math.ceil(shape.vocab / shape.hidden))
        chunk = min(tokens, 1 << (share - 1).bit_length())
        gradient = 2 * tokens * shape.hidden
    elif recipe.stack.loss == "eighths":
        # The 16-bit logits of all chunks stay, what the loss makes of them is there for one.
        chunk, gradient = math.ceil(tokens / 8), 2 * tokens * shape.vocab
    return chunk * shape.vocab * _bytes_per_logit(recipe) + gradient


def _bytes_per_logit(recipe: Recipe) -> int:
    if recipe.method == "full-fp32":
        return 4 * 4
    stack = recipe.stack
    # The adapter's own output, the same scaled, and the sum.
    adapted = 3 * 2 if recipe.trains_adapter and "head" in recipe.targets else 0
    return adapted + (
        stack.quantized_logit_bytes if recipe.method == "qlora" else stack.logit_bytes
    )


def _full(shape: ModelShape, recipe: Recipe) -> MemoryEstimate:
    weight, gradient, optimizer = _FULL_BYTES[recipe.method]
    if recipe.stack.pages_moments:
        gradient = optimizer = 0
    shards = recipe.gpus if recipe.sharded else 1
    held = _held_parameters(shape, recipe) / shards
    # ZeRO-3 gathers weights that are in use, on a single GPU too.
    gathers = _gathers(recipe)
    live = 2.0 * min(_GROUP, shape.parameters) if gathers else 0.0
    step_room = {
        "full-mixed": 4 * min(_GROUP, held),
        "full-8bit": 4 * shape.largest_matrix / shards,
    }.get(recipe.method, weight * held)
    if recipe.stack.pages_moments:
        step_room = 3 * 2.0 * max(shape.largest_matrix, shape.embedding_parameters)

    gradients = Range.around(gradient * held, 0.10, 0.20)
    states = Range.around(optimizer * held, 0.10, 0.20)
    activations, logits = _activations_and_logits(shape, recipe)
    # With a single micro batch per step gradients replace activations layer by layer, so both
    # are never whole at once; with accumulation they stay.
    held_gradients = gradients if recipe.accumulation > 1 else ZERO
    forward = (held_gradients + activations + logits).typical
    if forward >= gradients.typical + step_room:
        return _sum(
            recipe,
            peak_at="forward",
            weights=Range.around(weight * held, 0.0, 0.05),
            gradients=held_gradients,
            optimizer=states,
            activations=activations,
            logits=logits,
            buffers=live,
        )
    return _sum(
        recipe,
        peak_at="step",
        weights=Range.around(weight * held, 0.0, 0.05),
        gradients=gradients,
        optimizer=states + Range.around(step_room, 0.35, 0.35),
        buffers=live,
    )


def _gathers(recipe: Recipe) -> bool:
    return recipe.sharded or recipe.method == "full-mixed"


def _with_adapter(shape: ModelShape, recipe: Recipe) -> MemoryEstimate:
    shards = recipe.gpus if recipe.sharded else 1
    stack = recipe.stack
    adapter = adapter_parameters(shape, recipe)
    activations, logits = _activations_and_logits(shape, recipe)
    # What is trained whole is a 16-bit copy: weight, gradient, two moments, the step's room.
    adapter_bytes = stack.adapter_bytes * adapter + 10 * whole_parameters(shape, recipe)
    buffers = 2.0 * min(_GROUP, shape.parameters) if recipe.sharded else 0.0
    if recipe.method == "lora":
        weights = 2.0 * _held_parameters(shape, recipe)
    else:
        weights = _quantized_weights(shape, recipe)
        head = shape.embedding_parameters if stack.quantizes_head else 0
        # A 4-bit matrix is expanded to 16 bit for each product; the next is made before the
        # allocator has given back the last.
        buffers += 2 * 2 * max(shape.largest_matrix, head) + stack.bucket_bytes
        # DeepSpeed steps fp16 adapters through an fp32 copy of their gradients.
        buffers += 4 * adapter if stack.bucket_bytes else 0
    return _sum(
        recipe,
        peak_at="forward",
        weights=Range.around(weights / shards, 0.03, 0.08),
        adapter=Range.around(adapter_bytes / shards, 0.25, 0.25),
        activations=activations,
        logits=logits,
        buffers=buffers,
    )


def _quantized_weights(shape: ModelShape, recipe: Recipe) -> float:
    """4-bit matrices with their scales; embeddings, norms and perhaps the head stay wider."""
    quantized = shape.linear_parameters
    if recipe.stack.quantizes_head:
        quantized += shape.embedding_parameters
    rest = _held_parameters(shape, recipe) - quantized
    return (
        quantized * BITS_PER_WEIGHT[recipe.quantization] / 8 + rest * recipe.stack.embedding_bytes
    )


def _on_cpu(shape: ModelShape, recipe: Recipe) -> MemoryEstimate:
    """llama.cpp's ``ggml_opt``: one static graph, every tensor in fp32, no flash attention.

    Weights are read into memory (no mmap); gradients and both moments exist for what trains, that
    is for all but the token embeddings. Every result of the graph is kept: per layer and token
    about 13 vectors of the hidden width, 5 of the MLP's, scores and their softmax for each head;
    logits, softmax, loss gradient, and labels as dense as the logits.
    """
    p, trained, t = shape.parameters, trainable_parameters(shape, recipe), recipe.micro_batch_tokens
    scores = 2 * shape.heads * recipe.sequence_tokens
    layer = 13 * shape.hidden + 5 * shape.ffn + scores
    cache = 2 * shape.layers * shape.kv_width * t
    return _sum(
        recipe,
        peak_at="forward",
        weights=Range.around(4.0 * p, 0.0, 0.05),
        gradients=Range.around(4.0 * trained, 0.0, 0.05),
        optimizer=Range.around(8.0 * trained, 0.0, 0.05),
        activations=Range.around(4.0 * (t * shape.layers * layer + cache), 0.30, 0.30),
        logits=Range.around(4 * 5 * t * shape.vocab, 0.30, 0.30),
        process=0.06e9,  # a Python process that has llama.cpp loaded
    )


def _sum(
    recipe: Recipe,
    *,
    peak_at: Literal["forward", "step"],
    weights: Range,
    gradients: Range = ZERO,
    optimizer: Range = ZERO,
    activations: Range = ZERO,
    logits: Range = ZERO,
    adapter: Range = ZERO,
    buffers: float = 0.0,
    process: float | None = None,
) -> MemoryEstimate:
    tensors = weights + gradients + optimizer + activations + logits + adapter
    on_gpu = process is None
    fixed = recipe.stack.process_bytes if process is None else process
    slack = (_GATHER_SLACK if _gathers(recipe) else recipe.stack.slack) if on_gpu else 0.0
    overhead = Range.around(fixed + buffers + slack * tensors.typical, 0.35, 0.35)
    total = tensors + overhead
    return MemoryEstimate(
        weights_bytes=weights,
        gradients_bytes=gradients,
        optimizer_bytes=optimizer,
        activations_bytes=activations,
        logits_bytes=logits,
        adapter_bytes=adapter,
        overhead_bytes=overhead,
        total_bytes=total,
        all_gpus_bytes=total * recipe.gpus,
        peak_at=peak_at,
    )
