"""How many requests to answer at once, from the memory that is free.

More sequences share each pass over the weights, which is what makes many prompts faster than one
after the other. Two things limit the gain on a CPU. From about sixteen tokens in a batch on,
products are bound by arithmetic, and more of them cost in proportion. And sequences share one KV
cache, so that attention has to step over the cells of all the others: cheap for each cell, but it
adds up where prompts are long. Both are accounted for here; measured figures are in
``docs/guide/batching.md``.
"""

from __future__ import annotations

import msgspec

from localprompt.catalog.inspect import ModelInfo
from localprompt.catalog.predict import CELLS_PADDING, predict_memory
from localprompt.engine.prefixes import MOST_NESTED
from localprompt.errors import NotEnoughMemoryError
from localprompt.records import RequestedSettings
from localprompt.units import format_bytes

_DEFAULTS = RequestedSettings()

MOST_GENERATING = 16
MOST_SCORING = 32
STEPPED_OVER_CELLS = 2048
"""Cells of other sequences that attention may have to step over while generating."""
BATCH_SIZES = (512, 256, 128, 64)
"""Tried in this order; smaller ones only save memory."""


class ParallelPlan(msgspec.Struct, frozen=True):
    """A context for many requests."""

    parallel: int
    """Sequences for requests; those for shared prefixes come on top."""
    n_ctx: int
    """Cells: the shared prefix once, and each request's own tokens."""
    n_batch: int
    predicted_bytes: int
    """What the model with this context takes: an estimate."""


def plan_parallel(
    info: ModelInfo,
    *,
    free_bytes: int,
    longest_prompt: int,
    max_tokens: int,
    shared_prefix_tokens: int = 0,
    branches: int | None = None,
    requests: int | None = None,
    settings: RequestedSettings = _DEFAULTS,
) -> ParallelPlan:
    """The most sequences that are of use and fit, with a context to match.

    Args:
        info: the model's shape.
        free_bytes: for all that opening and running the model adds to the process; where the
            weights are open already, theirs included.
        longest_prompt: tokens, the shared prefix included.
        max_tokens: of an answer; for closed answers
            :attr:`localprompt.engine.labels.LabelTree.evaluated_tokens`.
        shared_prefix_tokens: with which all prompts begin.
        branches: of the choices of closed answers
            (:attr:`localprompt.engine.labels.LabelTree.branches`); None where text is generated.
        requests: how many there are; None for many.
        settings: its n_ctx and n_batch are upper limits.

    Raises:
        NotEnoughMemoryError: not even one request fits.
    """
    own = max(1, longest_prompt - shared_prefix_tokens) + max_tokens
    sizes = [size for size in BATCH_SIZES if size <= (settings.n_batch or size)]
    sizes = sizes or [settings.n_batch or BATCH_SIZES[0]]
    together = _useful(own, branches, sizes[0])
    for count in range(max(1, min(together, requests or together)), 0, -1):
        cells = -(-(shared_prefix_tokens + count * own) // CELLS_PADDING) * CELLS_PADDING
        if count > 1 and cells > (settings.n_ctx or cells):
            continue
        for n_batch in sizes:
            parallel = count * (branches or 1)
            predicted = _predicted(info, settings, parallel, cells, n_batch)
            if predicted <= free_bytes:
                return ParallelPlan(parallel, cells, n_batch, predicted)
    raise NotEnoughMemoryError(
        "not even one request fits into free memory",
        expected=f"{format_bytes(predicted)} (estimated, at n_ctx {cells})",
        found=f"{format_bytes(free_bytes)} free",
        next_step="use --type-k q8_0 --type-v q8_0, shorter prompts or a smaller model",
    )


def _useful(own: int, branches: int | None, n_batch: int) -> int:
    """Requests beyond which more of them gain nothing."""
    if branches is None:
        return max(2, min(MOST_GENERATING, STEPPED_OVER_CELLS // own))
    # Enough to fill a batch, and to begin the next one with.
    return max(1, min(MOST_SCORING // branches, n_batch // own + 2))


def _predicted(
    info: ModelInfo, settings: RequestedSettings, parallel: int, cells: int, n_batch: int
) -> int:
    return predict_memory(
        info,
        n_ctx=cells,
        n_batch=n_batch,
        n_ubatch=min(settings.n_ubatch or n_batch, n_batch),
        type_k=settings.type_k,
        type_v=settings.type_v,
        flash_attn=settings.flash_attn is not False,
        use_mmap=settings.use_mmap,
        repack=settings.repack,
        parallel=parallel + (MOST_NESTED if parallel > 1 else 0),
    ).model_bytes
