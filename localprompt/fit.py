"""Does it fit? Prompts into contexts, contexts into memory; asked before anything is loaded.

Predictions are estimates from the model's header (:mod:`localprompt.catalog.predict`). They
decide whether to try; what was really taken is measured, and both are kept side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from localprompt.catalog.inspect import ModelInfo, inspect_model
from localprompt.catalog.predict import predict_memory
from localprompt.errors import ContextOverflowError, NotEnoughMemoryError
from localprompt.measure import memory
from localprompt.plan import Cell
from localprompt.records import Message
from localprompt.units import format_bytes

CELL_STEP = 256
"""llama.cpp rounds a context up to a multiple of this many cells."""
_BYTES_PER_TOKEN = 3
"""Of text, a low guess: enough to predict before the tokenizer is there."""
_KEPT_FREE_BYTES = 64 * 1024**2
"""Left to the rest of the system when a model is let in."""


def context_size(cell: Cell, prompt_tokens: int, n_ctx_train: int) -> int:
    """The n_ctx to open: what was asked for, or what the prompt and its answer need.

    Raises:
        ContextOverflowError: the prompt leaves no room for an answer. Says how long it is, what
            n_ctx would fit, and what memory that takes.
    """
    requested = cell.settings.n_ctx
    limit = requested or n_ctx_train
    needed = prompt_tokens + cell.sampling.max_tokens
    if prompt_tokens < limit:
        return requested or min(needed, n_ctx_train)
    fitting = -(-needed // CELL_STEP) * CELL_STEP
    next_step = f"--n-ctx {fitting}"
    if (peak := predicted_peak(cell, fitting)) is not None:
        next_step += f" (about {format_bytes(peak)} of memory, estimated)"
    if needed > n_ctx_train:
        next_step = (
            f"shorten the prompt: {cell.model.name} was trained on {n_ctx_train} tokens; "
            f"beyond that its answers make little sense, but {next_step} would hold it"
        )
    raise ContextOverflowError(
        "the prompt does not fit into the context",
        where=cell.template.path or cell.template.name or None,
        expected=f"fewer than {limit} tokens (n_ctx)",
        found=f"{prompt_tokens} tokens",
        next_step=next_step,
    )


def predicted_peak(
    cell: Cell,
    n_ctx: int,
    baseline_bytes: int | None = None,
    prompt_tokens: int | None = None,
) -> int | None:
    """Estimated peak RSS of running the cell in n_ctx cells; None where the model is unknown.

    Args:
        baseline_bytes: resident before loading; None assumes a typical process of ours.
        prompt_tokens: None assumes a prompt that fills a physical batch.
    """
    info = _info(cell.model.path)
    if info is None:
        return None
    settings = cell.settings
    prediction = predict_memory(
        info,
        n_ctx=n_ctx,
        n_ubatch=settings.n_ubatch or 512,
        n_batch=settings.n_batch or 512,
        type_k=settings.type_k,
        type_v=settings.type_v,
        flash_attn=settings.flash_attn is not False,
        use_mmap=settings.use_mmap,
        repack=settings.repack,
        prompt_tokens=prompt_tokens,
    )
    if baseline_bytes is None:
        return prediction.peak_bytes
    return prediction.model_bytes + baseline_bytes


def check_memory(cell: Cell, messages: Sequence[Message], baseline_bytes: int | None) -> None:
    """Refuse what would not fit into free memory, before the weights are touched.

    Raises:
        NotEnoughMemoryError: unless ``cell.force``.
    """
    if cell.force:
        return
    info, available = _info(cell.model.path), memory.available().available_bytes
    if info is None or available is None:
        return
    text_bytes = sum(len(message.text.encode()) for message in messages)
    guess = text_bytes // _BYTES_PER_TOKEN + cell.sampling.max_tokens
    n_ctx = cell.settings.n_ctx or min(guess, info.n_ctx_train or guess)
    peak = predicted_peak(cell, max(1, n_ctx), baseline_bytes)
    needed = (peak or 0) - (baseline_bytes or 0)
    if needed + _KEPT_FREE_BYTES <= available:
        return
    raise NotEnoughMemoryError(
        f"{cell.model.name} would not fit into free memory",
        expected=f"{format_bytes(needed)} (estimated, at n_ctx {n_ctx})",
        found=f"{format_bytes(available)} free",
        next_step="use a smaller --n-ctx, --type-k q8_0 --type-v q8_0, or --force to try",
    )


def _info(path: str) -> ModelInfo | None:
    """The model's shape; None for one that the predictions do not cover."""
    from localprompt.errors import ModelFileError

    try:
        return inspect_model(Path(path))
    except ModelFileError:
        # Whoever opens the model says why, with llama.cpp's own reason.
        return None
