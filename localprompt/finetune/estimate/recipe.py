"""How a model is trained: the method, the batch, and the habits of the software that does it.

Two runs of "LoRA on a 7B model" differ by a factor of two in memory when one keeps every
activation and computes the loss in 16 bit while the other recomputes activations and computes the
loss in 32 bit. So an estimate needs to know which *stack* trains. Each is described from its public
source code and defaults:

- ``trainer``: Hugging Face Trainer with PEFT and bitsandbytes, DeepSpeed for full tuning. What
  most people use, hence the default.
- ``qwenlm``: the same Trainer as the scripts of QwenLM/Qwen set it up: a wide adapter (rank 64),
  and a 4-bit base in GPTQ format trained in pure fp16 under DeepSpeed.
- ``liger``: the Trainer with ``use_liger_kernel``: the head and the loss are one kernel that works
  through the tokens in chunks, so the logits are never whole.
- ``unsloth``: the same idea, and the layers' inputs wait for the backward pass in host memory.
- ``torchtune``: single-device recipes in pure bf16 whose loss takes the logits in eight chunks.
- ``litgpt``: Lightning's litgpt with ``--precision bf16-true``: everything in 16 bit, a small
  adapter on q and v, no recomputation; it reports memory allocated, not memory reserved.

Everything that a stack implies can be overridden in the ``Recipe``.
"""

from __future__ import annotations

import difflib
from typing import Literal, TypeVar, get_args

import msgspec

from localprompt.errors import InputError, UnknownNameError

Method = Literal[
    "full-fp32", "full-mixed", "full-16bit", "full-8bit", "lora", "qlora", "cpu-llama.cpp"
]
Quantization = Literal["nf4", "nf4-dq", "gptq-int4"]
Target = Literal["q", "k", "v", "o", "mlp", "head", "embeddings"]
"""What an adapter changes. ``embeddings``: token embeddings and head are trained whole beside the
adapter, as PEFT's ``modules_to_save`` does; the others get low-rank adapters."""
T = TypeVar("T")

METHODS: dict[str, str] = {
    "full-fp32": "all weights, AdamW, everything in 32 bit",
    "full-mixed": "all weights, AdamW, 16-bit copies beside 32-bit masters",
    "full-16bit": "all weights, AdamW, everything in 16 bit",
    "full-8bit": "all weights in 16 bit, AdamW with 8-bit moments",
    "lora": "low-rank adapters on 16-bit weights that stay as they are",
    "qlora": "low-rank adapters on 4-bit weights that stay as they are",
    "cpu-llama.cpp": "all weights but the token embeddings, 32 bit, llama.cpp on a CPU",
}

BITS_PER_WEIGHT: dict[str, float] = {
    # 4 bits, and a 32-bit scale for each block of 64 (Dettmers et al., arXiv 2305.14314).
    "nf4": 4 + 32 / 64,
    # The scales themselves in 8 bit, with a 32-bit scale for each 256 of them (same paper).
    "nf4-dq": 4 + 8 / 64 + 32 / (64 * 256),
    # 4 bits, and a 16-bit scale and a 4-bit zero for each group of 128.
    "gptq-int4": 4 + (16 + 4) / 128,
}

ATTENTION: tuple[Target, ...] = ("q", "k", "v", "o")
ALL_LINEAR: tuple[Target, ...] = (*ATTENTION, "mlp")


class Stack(msgspec.Struct, frozen=True):
    """What a piece of training software does unless it is told otherwise."""

    name: str
    title: str
    full_method: Method
    """What plain "full" means here."""
    recompute: bool
    rank: int
    targets: tuple[Target, ...]
    adapter_bytes: int
    """Per adapter parameter: weight, gradient and two moments."""
    logit_bytes: int
    """Of all copies of one logit that the loss keeps: the 16-bit logit; its shifted copy, its
    log-softmax and its gradient, each in the type that the loss is computed in; and what is
    copied to get there."""
    quantized_logit_bytes: int
    """The same when the base is quantized."""
    quantization: Quantization
    quantizes_head: bool
    shares_head: bool
    """Whether a head that is tied to the embeddings stays one tensor."""
    embedding_bytes: int
    """Per embedding parameter beside a quantized base."""
    process_bytes: float
    """What is counted before any tensor: the CUDA context and library workspaces where the
    memory of the process is reported, the workspaces alone where allocations are."""
    bucket_bytes: float
    """Communication buffers that DeepSpeed allocates for adapters even on one GPU."""
    slack: float
    """Reserved but unused by the caching allocator, as a share of the rest."""
    loss: Literal["whole", "fused", "eighths"] = "whole"
    """How many logits exist at once: those of all tokens; chunks of about hidden ÷ vocab of them,
    rounded up to a power of two, head and loss fused (Liger); or an eighth of them."""
    offloads: bool = False
    """Whether the layers' inputs wait for the backward pass in host memory."""
    layer_share: float = 1.0
    """What hand-written backward passes keep of an expanded layer."""
    pages_moments: bool = False
    """Full tuning steps each weight in the backward pass, with its moments in host memory."""


def _trainer(
    name: str,
    title: str,
    *,
    loss: Literal["whole", "fused", "eighths"] = "whole",
    offloads: bool = False,
) -> Stack:
    return Stack(
        name=name,
        title=title,
        full_method="full-mixed",
        recompute=True,
        rank=16,
        targets=ALL_LINEAR,
        adapter_bytes=16,
        logit_bytes=2 + 4 * 4,
        quantized_logit_bytes=2 + 4 * 4,
        quantization="nf4-dq",
        quantizes_head=False,
        shares_head=True,
        embedding_bytes=4,
        process_bytes=1.0e9,
        bucket_bytes=0.0,
        slack=0.04,
        loss=loss,
        offloads=offloads,
    )


STACKS: dict[str, Stack] = {
    stack.name: stack
    for stack in (
        _trainer("trainer", "Hugging Face Trainer, PEFT, bitsandbytes"),
        _trainer("liger", "Hugging Face Trainer with Liger's fused kernels", loss="fused"),
        # Embeddings stay in 16 bit and AdamW's moments have 8 bit; what its kernels keep of a layer
        # was fitted to its published 8B figures.
        msgspec.structs.replace(
            _trainer("unsloth", "Unsloth", loss="fused", offloads=True),
            adapter_bytes=10,
            embedding_bytes=2,
            layer_share=0.68,
        ),
        Stack(
            name="torchtune",
            title="torchtune, single device, bf16",
            full_method="full-16bit",
            recompute=True,
            rank=8,
            targets=("q", "v", "o", "mlp"),
            adapter_bytes=8,
            logit_bytes=2 + 4 * 4,
            quantized_logit_bytes=2 + 4 * 4,
            quantization="nf4",
            quantizes_head=False,
            shares_head=True,
            embedding_bytes=2,
            process_bytes=0.1e9,
            bucket_bytes=0.0,
            slack=0.04,
            loss="eighths",
            pages_moments=True,
        ),
        Stack(
            name="qwenlm",
            title="QwenLM finetune.py: Trainer, PEFT, DeepSpeed, GPTQ",
            full_method="full-mixed",
            recompute=True,
            rank=64,
            targets=ALL_LINEAR,
            adapter_bytes=16,
            logit_bytes=2 + 2 + 2 * 4,
            quantized_logit_bytes=4 * 2,
            quantization="gptq-int4",
            quantizes_head=False,
            shares_head=True,
            embedding_bytes=2,
            process_bytes=1.0e9,
            bucket_bytes=0.8e9,
            slack=0.04,
        ),
        Stack(
            name="litgpt",
            title="litgpt with bf16-true",
            full_method="full-16bit",
            recompute=False,
            rank=8,
            targets=("q", "v"),
            adapter_bytes=8,
            logit_bytes=4 * 2,
            quantized_logit_bytes=4 * 2,
            quantization="nf4",
            quantizes_head=True,
            shares_head=False,
            embedding_bytes=2,
            process_bytes=0.1e9,
            bucket_bytes=0.0,
            slack=0.0,
        ),
    )
}


class Recipe(msgspec.Struct, frozen=True):
    """One way to train, complete: nothing is left to a default. Made by ``make_recipe``."""

    method: Method
    stack: Stack
    sequence_tokens: int
    micro_batch: int
    """Sequences in one forward pass on one GPU."""
    accumulation: int
    """Micro batches per optimizer step."""
    gpus: int
    sharded: bool
    """Whether weights, gradients and moments are spread over the GPUs (ZeRO-3, FSDP)."""
    recompute: bool
    """Whether activations are computed again in the backward pass (gradient checkpointing)."""
    rank: int
    targets: tuple[Target, ...]
    quantization: Quantization

    @property
    def micro_batch_tokens(self) -> int:
        return self.micro_batch * self.sequence_tokens

    @property
    def trains_adapter(self) -> bool:
        return self.method in {"lora", "qlora"}


def find_stack(name: str) -> Stack:
    """Raises UnknownNameError."""
    return _known("stack", name, STACKS)


def make_recipe(
    method: str,
    *,
    stack: str | Stack = "trainer",
    sequence_tokens: int = 512,
    micro_batch: int = 1,
    accumulation: int = 8,
    gpus: int = 1,
    sharded: bool | None = None,
    recompute: bool | None = None,
    rank: int | None = None,
    targets: tuple[Target, ...] | None = None,
    quantization: Quantization | None = None,
) -> Recipe:
    """Fills what was not said from the stack's habits, and checks what was.

    ``method`` is one of ``METHODS`` or ``full``, which means what the stack does by default.
    Full tuning on several GPUs is sharded unless ``sharded`` says otherwise; adapters are not.

    Raises:
        UnknownNameError: no such method or stack.
        InputError: a number is not positive, or the method cannot be used that way.
    """
    habits = find_stack(stack) if isinstance(stack, str) else stack
    chosen = habits.full_method if method == "full" else method
    _known("method", chosen, METHODS)
    recipe = Recipe(
        method=msgspec.convert(chosen, Method),
        stack=habits,
        sequence_tokens=sequence_tokens,
        micro_batch=micro_batch,
        accumulation=accumulation,
        gpus=gpus,
        sharded=gpus > 1 and (chosen.startswith("full") if sharded is None else sharded),
        recompute=habits.recompute if recompute is None else recompute,
        rank=habits.rank if rank is None else rank,
        targets=habits.targets if targets is None else targets,
        quantization=habits.quantization if quantization is None else quantization,
    )
    for field in ("sequence_tokens", "micro_batch", "accumulation", "gpus", "rank"):
        if getattr(recipe, field) < 1:
            raise InputError(
                f"{field} must be at least 1", where=field, found=str(getattr(recipe, field))
            )
    if recipe.method == "cpu-llama.cpp" and gpus > 1:
        raise InputError("llama.cpp trains on one CPU", where="gpus", expected="1", found=str(gpus))
    _known("quantization", recipe.quantization, BITS_PER_WEIGHT)
    if recipe.trains_adapter and not recipe.targets:
        raise InputError("an adapter needs at least one target", where="targets")
    for target in recipe.targets:
        _known("target", target, dict.fromkeys(get_args(Target)))
    return recipe


def _known(kind: str, name: str, known: dict[str, T]) -> T:
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3)
    raise UnknownNameError(
        f"no {kind} is called {name!r}",
        nearest=tuple(near) or tuple(known),
        where=kind,
    )
