"""The way through attention for a request that is about to be evaluated.

What is asked for, what the model is, and what was measured on this machine come together here; how
a way is chosen from them is in :mod:`localprompt.running.attention_choice`. Where there is nothing
to choose, or nothing to choose by, llama.cpp's own choice stays, and the record says why.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from localprompt.engine.base import Engine
from localprompt.errors import ModelFileError
from localprompt.measure import memory
from localprompt.models.inspect import ModelInfo, inspect_model
from localprompt.models.predict import predict_memory
from localprompt.records.attention import AttentionTable, Heads
from localprompt.records.cell import Cell
from localprompt.records.run import RequestedSettings, whole_context
from localprompt.running.attention_choice import SMALLER_UBATCH, Attention, Request, choose
from localprompt.running.memory_limit import N_BATCH

OnNote = Callable[[str], None]
"""Told what a user waits for."""

MEASURING = "measuring attention on this CPU for heads of this model's shape: once, some seconds"
FORCED_TOGETHER = 3
"""Tokens of an answer under a schema that are evaluated together: a guess. Names and punctuation
are forced, and come in one batch with the token before them."""


def attention_for(
    cell: Cell,
    engine: Engine,
    *,
    prompt_tokens: int,
    beginning_tokens: int,
    n_ctx: int,
    baseline_bytes: int | None,
    weighed: bool = False,
    on_note: OnNote = lambda _: None,
) -> Attention:
    """What fits a request that is about to be evaluated.

    Args:
        beginning_tokens: of the constant beginning that is evaluated apart; 0: there is none.
        n_ctx: cells that will be opened.
        baseline_bytes: resident before the model was opened; None: unknown.
        weighed: its choices are scored with the prompt, and nothing is decoded behind it.
    """
    settings = cell.settings
    typed = settings.flash_attn
    if typed is not None and cell.kind not in _ONLY_TOLD:
        return Attention(typed)
    answer_tokens = 0 if weighed else expected_answer(cell.sampling.max_tokens)
    known = table_for(
        cell.model.path,
        settings,
        engine,
        may_measure=prompt_tokens + answer_tokens >= WORTH_MEASURING
        and cell.kind not in _ONLY_TOLD,
        on_note=on_note,
    )
    if isinstance(known, str):
        return Attention(typed, known if typed is None else None)
    kv_cache = predict_memory(
        known.info, n_ctx=n_ctx, type_k=settings.type_k, type_v=settings.type_v
    ).kv_cache_bytes
    request = Request(
        prompt_tokens=prompt_tokens,
        beginning_tokens=beginning_tokens,
        answer_tokens=answer_tokens,
        n_layer=known.info.n_layer,
        kv_bytes_per_token=kv_cache // whole_context(n_ctx),
        n_ubatch=settings.n_ubatch or N_BATCH,
        smaller_ubatch=SMALLER_UBATCH if _may_shrink(cell) else None,
        threads=settings.n_threads_batch or settings.n_threads or 1,
        step_tokens=FORCED_TOGETHER if cell.template.output_schema else 1,
    )

    def fits(way: Attention) -> bool:
        return _fits(way, cell, n_ctx, baseline_bytes, prompt_tokens)

    relayed = Attention(False, None, prompt_tokens, copied_bytes=kv_cache)
    chosen = choose(request, known.table, may_relay=not weighed and fits(relayed))
    if chosen.flash_beginning:
        chosen = msgspec.structs.replace(chosen, copied_bytes=kv_cache)
    elif not chosen.flash_attn and not fits(chosen):
        chosen = msgspec.structs.replace(chosen, n_ubatch=request.smaller_ubatch)
        if not fits(chosen):
            chosen = Attention(True, "on: no memory for the scores without it")
    if cell.kind not in _ONLY_TOLD:
        return chosen
    kept = "llama.cpp's own" if typed is None else f"typed: {'on' if typed else 'off'}"
    return Attention(typed, f"{kept}; ask would take {chosen.reason}")


class Known(msgspec.Struct, frozen=True):
    """What there is to choose by."""

    info: ModelInfo
    table: AttentionTable


def table_for(
    path: str,
    settings: RequestedSettings,
    engine: Engine,
    *,
    may_measure: bool,
    on_note: OnNote = lambda _: None,
) -> Known | str:
    """The table for a model and the types of its KV cache; or why llama.cpp's own choice stays.

    Args:
        may_measure: whether some seconds may be spent to make one.
    """
    try:
        info = inspect_model(Path(path))
    except ModelFileError:
        return "llama.cpp's own: the file does not tell the model's shape"
    why = unsuited(info, settings)
    if why is not None:
        return f"llama.cpp's own: {why}"
    heads = Heads(
        n_head=info.n_head,
        n_head_kv=info.n_head_kv[0],
        key_length=info.key_length,
        value_length=info.value_length,
        type_k=settings.type_k,
        type_v=settings.type_v,
    )
    table = engine.attention_table(
        heads, may_measure=may_measure, on_wait=lambda: on_note(MEASURING)
    )
    if table is None:
        return "llama.cpp's own: not measured on this machine"
    return Known(info, table)


def unsuited(info: ModelInfo, settings: RequestedSettings) -> str | None:
    """Why there is nothing to choose for such a model or such settings; None: there is.

    What is measured is plain attention with a cache of keys and values that is alike in each layer,
    and only such a cache can be re-laid in the middle of a request.
    """
    reasons = (
        (info.recurrent, "some of its layers keep a state instead of keys and values"),
        (not info.causal or not any(info.n_head_kv), "it keeps no keys and values"),
        (info.n_swa, f"some of its layers see a window of {info.n_swa:,} tokens"),
        (len(set(info.n_head_kv)) > 1, "its layers have different heads"),
        (info.latent, "its keys and values are one compressed vector (MLA)"),
        (info.sinks, "its attention has sinks"),
        (info.capped, "its attention caps scores"),
        (settings.type_v not in _PLAIN, f"values in {settings.type_v} need it on"),
    )
    return next((why for holds, why in reasons if holds), None)


def expected_answer(max_tokens: int) -> int:
    """Tokens of an answer that may have so many: all of a short one, half of a long one."""
    return max(min(max_tokens, _SHORT_ANSWER), min(max_tokens, _MOST_EXPECTED) // 2)


def _may_shrink(cell: Cell) -> bool:
    """Whether batches may be smaller than usual: nobody typed them, and the context is not one that
    a conversation goes on in."""
    typed = cell.settings.n_ubatch or cell.settings.n_batch
    return not typed and cell.after == "forget"


def _fits(
    way: Attention, cell: Cell, n_ctx: int, baseline_bytes: int | None, prompt_tokens: int
) -> bool:
    """Whether there is memory for it, below the cell's limit as well."""
    peak = way.peak(cell, n_ctx, baseline_bytes, prompt_tokens)
    if peak is None or (cell.limit is not None and peak > cell.limit.bytes):
        return False
    available, resident = memory.available().available_bytes, memory.read().rss_bytes or 0
    return available is None or peak - resident <= available


_ONLY_TOLD = frozenset({"bench"})
"""There to compare settings: they keep what is typed, and say what would have been chosen."""
_PLAIN = frozenset({"f32", "f16", "bf16"})
WORTH_MEASURING = 128
"""Tokens of a prompt and its expected answer, below which a table is not worth its seconds."""
_SHORT_ANSWER = 64
"""Tokens; who allows no more than these has counted them."""
_MOST_EXPECTED = 256
"""Tokens of a long answer of which half are expected."""
