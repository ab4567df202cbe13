"""The other side of the comparison: what prompting the same model takes, predicted, not measured.

A model that is here as a GGUF file is predicted from its header. A named shape has no file; for
it the one is predicted that ``llama-quantize`` would make of it with type Q4_0: 4-bit matrices, an
output matrix in Q6_K (Q8_0 where rows are no multiple of 256), norms in 32 bit.

The settings are those that ``localprompt run`` takes by itself, with the copies of weights that it
makes for this CPU. The low end is without such copies (``--no-repack``).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from localprompt.finetune.estimate.estimate import Estimate
from localprompt.finetune.estimate.hardware import LAPTOPS, Fit, fits
from localprompt.finetune.estimate.shapes import ModelShape
from localprompt.gguf.tensor_types import BY_NAME
from localprompt.models.inspect import ModelInfo, TensorTypeShare
from localprompt.models.layout import Layout, Matrices
from localprompt.models.predict import MemoryPrediction, predict_memory
from localprompt.stats.ranges import Range


class Prompting(msgspec.Struct, frozen=True):
    """One quantized model, prompted on a CPU."""

    kind: Literal["estimated"]
    model: str
    quantization: str
    n_ctx: int
    from_file: bool
    """False: no file was looked at, its tensors follow from the shape."""
    peak_bytes: Range
    """Peak RSS of the process. Low: without copies of weights; typical and high: as is usual."""
    memory: MemoryPrediction
    fits: tuple[Fit, ...]
    """For laptops; no GPU is needed."""


class SideBySide(msgspec.Struct, frozen=True):
    """One model: prompted, and trained in one or more ways. What ``--format json`` prints."""

    kind: Literal["estimated"]
    shape: ModelShape
    prompting: Prompting
    training: tuple[Estimate, ...]


def prompting_of_file(info: ModelInfo, name: str, *, n_ctx: int) -> Prompting:
    """What running the file takes with ``n_ctx`` cells."""
    return _predicted(info, name, n_ctx, from_file=True)


def prompting_of_shape(shape: ModelShape, *, n_ctx: int, layout: Layout | None = None) -> Prompting:
    """What running the shape takes, were it quantized to Q4_0.

    Args:
        layout: what llama.cpp does with weights on the CPU; None: on this one.
    """
    return _predicted(_quantized(shape), shape.name, n_ctx, layout, from_file=False)


def _predicted(
    info: ModelInfo, name: str, n_ctx: int, layout: Layout | None = None, *, from_file: bool
) -> Prompting:
    memory = predict_memory(info, n_ctx=n_ctx, layout=layout)
    usual = float(memory.peak_bytes)
    plain = float(predict_memory(info, n_ctx=n_ctx, repack=False).peak_bytes)
    peak = Range(min(plain, usual), usual, usual)
    return Prompting(
        kind="estimated",
        model=name,
        quantization=info.file_type,
        n_ctx=n_ctx,
        from_file=from_file,
        peak_bytes=peak,
        memory=memory,
        fits=fits(peak, LAPTOPS),
    )


def _quantized(shape: ModelShape) -> ModelInfo:
    """The header that a Q4_0 file of the shape would have, as far as memory depends on it."""
    in_blocks = _share("Q4_0", shape.linear_parameters)
    embeddings = _share("Q4_0", 0 if shape.tied_embeddings else shape.embedding_parameters)
    output = _share("Q8_0" if shape.hidden % 256 else "Q6_K", shape.embedding_parameters)
    rest = shape.parameters - sum(s.parameters for s in (in_blocks, embeddings, output))
    types = (in_blocks, embeddings, output, _share("F32", rest))
    weights_bytes = sum(share.size_bytes for share in types)
    return ModelInfo(
        path="",
        size_bytes=weights_bytes,
        weights_bytes=weights_bytes,
        architecture="",
        name=shape.name,
        licence=None,
        parameters=shape.parameters,
        file_type="Q4_0",
        tensor_types=types,
        n_layer=shape.layers,
        n_embd=shape.hidden,
        n_ff=shape.ffn,
        n_head=shape.heads,
        n_head_kv=(shape.kv_heads,) * shape.layers,
        key_length=shape.head_dim,
        value_length=shape.head_dim,
        n_expert=0,
        n_expert_used=0,
        n_vocab=shape.vocab,
        n_merges=shape.vocab,  # of a byte-pair tokenizer; others have none
        n_ctx_train=0,
        n_swa=0,
        sliding_layers=(False,) * shape.layers,
        rope_freq_base=None,
        rope_dimensions=None,
        rope_scaling=None,
        bos_token_id=None,
        eos_token_id=None,
        chat_template=None,
        tied_embeddings=shape.tied_embeddings,
        repackable=(
            _matrices(in_blocks),
            msgspec.structs.replace(_matrices(output), tied=shape.tied_embeddings),
        ),
    )


def _matrices(share: TensorTypeShare) -> Matrices:
    return Matrices(share.type, share.parameters, share.size_bytes)


def _share(type_name: str, parameters: int) -> TensorTypeShare:
    return TensorTypeShare(type_name, 1, parameters, BY_NAME[type_name].bytes_for(parameters))
