"""Does it fit? Prompts into contexts, contexts into memory; asked before anything is loaded.

Predictions are estimates from the model's header (:mod:`localprompt.models.predict`). They
decide whether to try; what was really taken is measured, and both are kept side by side.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from localprompt.errors import ContextOverflowError
from localprompt.measure import memory
from localprompt.models.inspect import ModelInfo, inspect_model
from localprompt.models.predict import (
    BASELINE_BYTES,
    LIBRARIES_BYTES,
    NUMPY_BYTES,
    maps_weights,
    predict_memory,
)
from localprompt.records.cell import Cell
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import Message
from localprompt.records.run import CONTEXT_STEP, RequestedSettings, RunWarning, whole_context
from localprompt.running.memory_limit import Demand, fit_into, peak_bytes, refusal, smallest
from localprompt.units import format_bytes

_LEAST_ROOM = 2048
"""Tokens of a conversation's context: 12 to 60 MiB of KV cache for models of 0.1 to 1.5B."""
_BYTES_PER_TOKEN = 3
"""Of text, a low guess: enough to predict before the tokenizer is there."""


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
    fitting = whole_context(needed)
    next_step = f"--n-ctx {fitting}"
    if (peak := predicted_peak(cell, fitting)) is not None:
        next_step += f" (about {format_bytes(peak)} of memory, estimated)"
    if needed > n_ctx_train:
        next_step = (
            f"shorten the prompt: {cell.model.name} was trained on {n_ctx_train} tokens; "
            f"beyond that its answers make little sense, but {next_step} would hold it"
        )
    if cell.before:
        next_step = f"take turns back (in chat: /undo), begin anew, or {next_step}"
    raise ContextOverflowError(
        f"the {'conversation' if cell.before else 'prompt'} does not fit into the context",
        where=cell.template.path or cell.template.name or None,
        expected=f"fewer than {limit} tokens (n_ctx)",
        found=f"{prompt_tokens} tokens",
        next_step=next_step,
    )


def with_room(cell: Cell, n_ctx: int, n_ctx_train: int) -> int:
    """The context to open for a conversation: with room for turns to come, so that it does not
    have to be opened again for each; others get what they need.

    Nothing is added below a limit of memory, where the user chose, or where it would take more than
    half of the memory that is free.
    """
    if cell.kind != "chat" or cell.settings.n_ctx is not None or cell.limit is not None:
        return n_ctx
    roomy = max(n_ctx, min(max(_LEAST_ROOM, 1 << (n_ctx - 1).bit_length()), n_ctx_train))
    taken = predicted_kv_cache(cell.model, cell.settings, roomy)
    free = memory.available().available_bytes
    return n_ctx if taken is not None and free is not None and taken > free // 2 else roomy


def resident_before_opening(
    reading: memory.MemoryReading, *, reads_logits: bool = False
) -> int | None:
    """Where a prediction begins: what is resident now, and llama.cpp's libraries where they are
    still to be loaded. None: unknown.

    Args:
        reads_logits: NumPy will be loaded for them, as by everything that answers several at once.
    """
    if reading.rss_bytes is None:
        return None
    libraries = 0 if "llama_cpp.llama_cpp" in sys.modules else LIBRARIES_BYTES
    numpy = NUMPY_BYTES if reads_logits and "numpy" not in sys.modules else 0
    return reading.rss_bytes + libraries + numpy


def predicted_peak(
    cell: Cell,
    n_ctx: int,
    baseline_bytes: int | None = None,
    prompt_tokens: int | None = None,
) -> int | None:
    """Estimated peak RSS of running the cell in n_ctx cells; None where the model is unknown.

    Args:
        baseline_bytes: as :func:`resident_before_opening`; None assumes a typical process of ours.
        prompt_tokens: of the whole prompt; None assumes that it fills a physical batch and,
            with its answer, the context.
    """
    info = _info(cell.model.path)
    if info is None:
        return None
    return peak_bytes(
        info,
        cell.settings,
        n_ctx=n_ctx,
        prompt_tokens=prompt_tokens,
        used_tokens=None if prompt_tokens is None else prompt_tokens + cell.sampling.max_tokens,
        baseline_bytes=baseline_bytes,
    )


USUAL_N_CTX = 4096
"""Cells by which a model is judged where nobody has said what it is wanted for."""


def predicted_opening(path: Path) -> int | None:
    """Estimated peak RSS of a process that runs this model as it is usually wanted; None where
    the model is unknown."""
    info = _info(str(path))
    if info is None:
        return None
    n_ctx = min(USUAL_N_CTX, info.n_ctx_train)
    return peak_bytes(
        info, RequestedSettings(), n_ctx=n_ctx, prompt_tokens=None, baseline_bytes=None
    )


def predicted_kv_cache(model: ModelRecord, settings: RequestedSettings, n_ctx: int) -> int | None:
    """Estimated bytes of the KV cache of one sequence; None where the model is unknown, or keeps
    a recurrent state, which is of another size."""
    info = _info(model.path)
    if info is None or info.recurrent:
        return None
    return predict_memory(
        info, n_ctx=n_ctx, type_k=settings.type_k, type_v=settings.type_v
    ).kv_cache_bytes


def within_limit(
    cell: Cell, n_ctx: int, prompt_tokens: int, baseline_bytes: int | None
) -> tuple[Cell, int]:
    """The cell with settings that fit into its limit of memory, and the n_ctx to open.

    Args:
        n_ctx: as :func:`context_size` gives it; it stays where there is no limit.
        baseline_bytes: as :func:`resident_before_opening`; None assumes a typical process of ours.

    Raises:
        NotEnoughMemoryError: nothing fits, unless ``cell.force``: then what takes the least.
    """
    info = _info(cell.model.path)
    if cell.limit is None or info is None:
        return cell, n_ctx
    demand = _demand(cell, n_ctx, prompt_tokens, baseline_bytes)
    fitted = fit_into(info, demand, cell.limit.bytes)
    if fitted is None:
        if not cell.force:
            raise refusal(info, demand, cell.limit.bytes, _other_models(cell))
        fitted = smallest(info, demand)
    return msgspec.structs.replace(cell, settings=fitted.settings), fitted.n_ctx


def over_limit(cell: Cell, peak_rss_bytes: int | None) -> tuple[RunWarning, ...]:
    """The warning that the run took more than it was meant to, where it did."""
    if cell.limit is None or peak_rss_bytes is None or peak_rss_bytes <= cell.limit.bytes:
        return ()
    return (
        RunWarning(
            "over_max_memory",
            f"the run took {format_bytes(peak_rss_bytes)}, more than --max-memory "
            f"{format_bytes(cell.limit.bytes)}",
            "the prediction was too low for this model; ask for less",
        ),
    )


def with_mapping_settled(
    cell: Cell, messages: Sequence[Message], baseline_bytes: int | None
) -> Cell:
    """The cell with ``use_mmap`` decided, which has to be before the weights are opened.

    Below a limit of memory the second copy of mapped weights is what is given up first: it costs
    some time when the model is opened, and nothing of batch, KV cache, context or answer.
    """
    info = _info(cell.model.path)
    if info is None or cell.settings.use_mmap is not None:
        return cell
    mapped = _mapping(cell, maps_weights(info, repack=cell.settings.repack))
    if cell.limit is not None and mapped.settings.use_mmap:
        peak = predicted_peak(mapped, _guessed_n_ctx(cell, messages, info), baseline_bytes)
        if peak is not None and peak > cell.limit.bytes:
            return _mapping(cell, use_mmap=False)
    return mapped


def _mapping(cell: Cell, use_mmap: bool) -> Cell:
    settings = msgspec.structs.replace(cell.settings, use_mmap=use_mmap)
    return msgspec.structs.replace(cell, settings=settings)


def _guessed_n_ctx(cell: Cell, messages: Sequence[Message], info: ModelInfo) -> int:
    """Before there is a tokenizer."""
    text_bytes = sum(len(message.text.encode()) for message in messages)
    guess = text_bytes // _BYTES_PER_TOKEN + cell.sampling.max_tokens
    return max(1, cell.settings.n_ctx or min(guess, info.n_ctx_train or guess))


def check_memory(cell: Cell, messages: Sequence[Message], baseline_bytes: int | None) -> None:
    """Refuse what would not fit into free memory or the cell's limit, before the weights are
    touched.

    How many tokens the messages are is not known yet. Free memory is checked with a guess; of
    the limit, only what not even a prompt of one token could keep is refused here.

    Raises:
        NotEnoughMemoryError: unless ``cell.force``.
    """
    if cell.force:
        return
    info, available = _info(cell.model.path), memory.available().available_bytes
    if info is None:
        return
    if cell.limit is not None:
        within_limit(cell, cell.settings.n_ctx or CONTEXT_STEP, 1, baseline_bytes)
    if available is None:
        return
    n_ctx = _guessed_n_ctx(cell, messages, info)
    peak = predicted_peak(cell, n_ctx, baseline_bytes)
    if peak is not None and cell.limit is not None:
        peak = min(peak, cell.limit.bytes)  # the settings will be chosen for it
    needed = (peak or 0) - (baseline_bytes or 0)
    memory.require(
        needed,
        f"{cell.model.name} would not fit into free memory",
        detail=f"at n_ctx {n_ctx}",
        free_bytes=available,
        next_step="use a smaller --n-ctx, --type-k q8_0 --type-v q8_0, or --force to try",
    )


def _demand(cell: Cell, n_ctx: int, prompt_tokens: int, baseline_bytes: int | None) -> Demand:
    return Demand(
        settings=cell.settings,
        n_ctx=n_ctx,
        prompt_tokens=prompt_tokens,
        baseline_bytes=BASELINE_BYTES if baseline_bytes is None else baseline_bytes,
        fixed=cell.limit.fixed if cell.limit else (),
    )


def _other_models(cell: Cell) -> dict[str, ModelInfo]:
    """Those in the store beside the cell's own."""
    from localprompt.models.store import list_models

    entries, _ = list_models()
    paths = {
        entry.card.name: str(entry.card.weights) for entry in entries if entry.state == "present"
    }
    found = {name: _info(path) for name, path in paths.items() if path != cell.model.path}
    return {name: info for name, info in found.items() if info is not None}


def _info(path: str) -> ModelInfo | None:
    """The model's shape; None for one that the predictions do not cover."""
    from localprompt.errors import ModelFileError

    try:
        return inspect_model(Path(path))
    except ModelFileError:
        # Whoever opens the model says why, with llama.cpp's own reason.
        return None
