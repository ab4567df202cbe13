"""Which models llama.cpp can train.

Training needs the derivative of every operation of a model's graph, and ggml has those of some
operations only (``ggml_compute_backward``): of RMSNorm, RoPE, softmax, matrix products and SwiGLU,
but not of LayerNorm, GELU, GeGLU, tanh or the choice of experts. Meeting one that it lacks it
aborts the process, after the memory was taken. So models are refused here by their architecture,
and those are let through that were seen to train.
"""

from __future__ import annotations

from localprompt.errors import InputError
from localprompt.models.inspect import ModelInfo

TRAINABLE = ("llama", "qwen2", "qwen3")
"""Architectures, by GGUF's name, whose training a test runs."""

_LACKING = {
    "gemma": "GeGLU",
    "gemma2": "GeGLU and tanh",
    "gemma3": "GeGLU",
    "gemma3n": "GeGLU and tanh",
    "gpt2": "LayerNorm and GELU",
    "gptneox": "LayerNorm and GELU",
    "phi2": "LayerNorm and GELU",
    "starcoder2": "LayerNorm and GELU",
    "bloom": "LayerNorm and GELU",
    "falcon": "LayerNorm and GELU",
    "mpt": "LayerNorm and GELU",
    "stablelm": "LayerNorm",
}


def check_trainable(info: ModelInfo, name: str) -> None:
    """llama.cpp can train it.

    Raises:
        InputError: it cannot, or nobody has seen that it can.
    """
    reason = None
    if info.n_expert:
        reason = "the choice of experts has no backward pass in llama.cpp"
    elif info.architecture in _LACKING:
        reason = f"{_LACKING[info.architecture]} has no backward pass in llama.cpp"
    elif info.architecture not in TRAINABLE:
        reason = "it was never tested whether llama.cpp has a backward pass for all of it"
    if reason is not None:
        raise InputError(
            f"{name} cannot be trained: {reason}",
            where=f"architecture {info.architecture}",
            expected=f"a dense model of one of: {', '.join(TRAINABLE)}",
            next_step="localprompt finetune measure smollm2-135m …, or for its figures: "
            f"localprompt finetune estimate {name}",
        )
