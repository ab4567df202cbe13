"""With flash attention or without: chosen for each request, by what this machine takes for either.

llama.cpp computes attention in two ways. With flash attention it goes through the KV cache in
tiles, which on CPUs pays for batches of 64 tokens and more; each token of a smaller batch, a
decoded one above all, walks through the cache alone. Without, keys and values are multiplied with
all of a batch's tokens as any other matrices are, and the scores are kept as a whole. Which one is
faster depends on the CPU, on the shape of the heads, on how many tokens come at once, and on how
many lie before them; so it is measured (:mod:`localprompt.engine.llama.proof.attention`) and
counted here.

A request has three parts: what of its beginning is evaluated apart, the rest of its prompt, and
its answer; what attention takes for each is counted by
:mod:`localprompt.running.attention_costs`. Three ways are compared:

- with flash attention throughout,
- without,
- the prompt's beginning with, the rest and the answer without: the values in the KV cache are then
  re-laid once, which takes the time of copying them some times.

What is not attention costs the same in all three and is left out.
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
from localprompt.running.admission import predicted_peak
from localprompt.running.attention_costs import TILE, Costs
from localprompt.running.memory_limit import N_BATCH

OnNote = Callable[[str], None]
"""Told what a user waits for."""

MEASURING = "measuring attention on this CPU for heads of this model's shape: once, some seconds"
COPIED_BYTES_PER_SECOND = 0.5e9
"""Of the KV cache when it is re-laid: out of one context, turned round, into another."""
RELAY_SECONDS = 0.02
"""To open another context for it."""
SMALLER_UBATCH = 128
"""Tokens of a physical batch whose scores take a quarter of the usual ones' memory."""
FORCED_TOGETHER = 3
"""Tokens of an answer under a schema that are evaluated together: a guess. Names and punctuation
are forced, and come in one batch with the token before them."""
LEAST_SECONDS = 0.01
"""What another way than llama.cpp's own has to save."""


class Request(msgspec.Struct, frozen=True):
    """What is known of a request before it is evaluated."""

    prompt_tokens: int
    beginning_tokens: int
    """Evaluated apart and kept for later runs; 0: nothing is."""
    answer_tokens: int
    """Expected."""
    n_layer: int
    kv_bytes_per_token: int
    n_ubatch: int
    smaller_ubatch: int | None = None
    """What may be taken instead without flash attention; None: nothing."""
    step_tokens: int = 1
    """Of an answer, evaluated together: what a schema forces comes without steps of its own."""


class Attention(msgspec.Struct, frozen=True):
    """What was chosen."""

    flash_attn: bool | None
    """For the rest of the prompt and for the answer; None: as llama.cpp chooses."""
    reason: str | None = None
    """None: the user typed it, or it is not for the program to choose."""
    flash_beginning: int = 0
    """So many tokens are evaluated with flash attention first, where ``flash_attn`` is off."""
    n_ubatch: int | None = None
    """Smaller than usual, where that is faster or all that fits; None: as the settings say."""
    saved_seconds: float = 0.0
    """CPU time against flash attention throughout; estimated."""
    copied_bytes: int = 0
    """Of the KV cache, held a second time while the beginning is re-laid."""

    def settings(self, asked: RequestedSettings) -> RequestedSettings:
        """The settings with what was chosen."""
        return msgspec.structs.replace(
            asked, flash_attn=self.flash_attn, n_ubatch=self.n_ubatch or asked.n_ubatch
        )

    def peak(
        self, cell: Cell, n_ctx: int, baseline_bytes: int | None, prompt_tokens: int
    ) -> int | None:
        """Estimated peak RSS of running the cell so; arguments as
        :func:`localprompt.running.admission.predicted_peak`."""
        way = True if self.flash_beginning else self.flash_attn
        settings = msgspec.structs.replace(self.settings(cell.settings), flash_attn=way)
        counted = msgspec.structs.replace(cell, settings=settings)
        peak = predicted_peak(counted, n_ctx, baseline_bytes, prompt_tokens)
        return None if peak is None else peak + self.copied_bytes


def attention_for(
    cell: Cell,
    engine: Engine,
    *,
    prompt_tokens: int,
    beginning_tokens: int,
    n_ctx: int,
    baseline_bytes: int | None,
    on_note: OnNote = lambda _: None,
) -> Attention:
    """What fits a request that is about to be evaluated.

    Args:
        beginning_tokens: of the constant beginning that is evaluated apart; 0: there is none.
        n_ctx: cells that will be opened.
        baseline_bytes: resident before the model was opened; None: unknown.
    """
    settings = cell.settings
    typed = settings.flash_attn
    if typed is not None and cell.kind not in _ONLY_TOLD:
        return Attention(typed)
    known = table_for(
        cell.model.path,
        settings,
        engine,
        may_measure=prompt_tokens >= WORTH_MEASURING and cell.kind not in _ONLY_TOLD,
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
        answer_tokens=expected_answer(cell.sampling.max_tokens),
        n_layer=known.info.n_layer,
        kv_bytes_per_token=kv_cache // whole_context(n_ctx),
        n_ubatch=settings.n_ubatch or N_BATCH,
        # A context that a conversation goes on in stays as it is.
        smaller_ubatch=None if settings.n_ubatch or cell.after != "forget" else SMALLER_UBATCH,
        step_tokens=FORCED_TOGETHER if cell.template.output_schema else 1,
    )

    def fits(way: Attention) -> bool:
        return _fits(way, cell, n_ctx, baseline_bytes, prompt_tokens)

    relayed = Attention(False, None, prompt_tokens, copied_bytes=kv_cache)
    chosen = choose(request, known.table, may_relay=fits(relayed))
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
    """Why there is nothing to choose for such a model or such settings; None: there is."""
    if info.recurrent or info.n_swa or len(set(info.n_head_kv)) != 1:
        return "not every layer attends to everything alike"
    if settings.type_v not in _PLAIN:
        return f"values in {settings.type_v} need it on"
    return None


def expected_answer(max_tokens: int) -> int:
    """Tokens of an answer that may have so many."""
    return min(max_tokens, _MOST_EXPECTED) // 2


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
WORTH_MEASURING = 192
"""Tokens of a prompt, below which a table is not worth the seconds that it takes."""
_MOST_EXPECTED = 256
"""Tokens of an answer: of what an answer may have at most, half is expected, and half of these."""


def choose(request: Request, table: AttentionTable, *, may_relay: bool) -> Attention:
    """The fastest way for a request, llama.cpp's own where nothing is gained.

    Args:
        may_relay: whether there is memory to hold the KV cache twice for a moment.
    """
    cost = _Cost(request, table)
    kept, prompt = request.beginning_tokens, request.prompt_tokens
    # What is kept costs nothing from the second run on, so it is left out: the choice must not
    # depend on whether it was found, or the answer would.
    off = cost.prompt(False, kept, prompt)
    n_ubatch = None
    if request.smaller_ubatch and not kept:
        smaller = cost.prompt(False, kept, prompt, request.smaller_ubatch)
        if smaller < off:
            off, n_ubatch = smaller, request.smaller_ubatch
    ways = {
        "on": cost.prompt(True, kept, prompt) + cost.answer(True),
        "off": off + cost.answer(False),
    }
    first = _tiled(prompt - 1, request.n_ubatch)
    if may_relay and not kept and first:
        begun = cost.prompt(True, 0, first) + cost.relay(first)
        ways["both"] = begun + cost.prompt(False, first, prompt) + cost.answer(False)
    way = min(ways, key=lambda name: ways[name])
    saved = ways["on"] - ways[way]
    if saved < LEAST_SECONDS:
        return Attention(True, "on: as fast as without, or faster")
    if way != "both":
        # A kept beginning is evaluated once, so with what evaluates it fastest.
        first = kept if may_relay and kept >= TILE else 0
    reason = _reason(request, cost, first)
    smaller_ubatch = None if first else n_ubatch
    return Attention(False, reason, first, smaller_ubatch, saved_seconds=saved)


def _tiled(tokens: int, n_ubatch: int) -> int:
    """As many of a prompt's first tokens as flash attention evaluates in tiles: all, but for a last
    batch of fewer than make a tile."""
    rest = tokens % n_ubatch
    return tokens if rest >= TILE or not rest else tokens - rest


class _Cost:
    """Seconds of a request's parts, in all layers."""

    def __init__(self, request: Request, table: AttentionTable) -> None:
        self._request = request
        self._costs = Costs(table, request.n_layer)

    def prompt(self, flash_attn: bool, start: int, end: int, n_ubatch: int | None = None) -> float:
        return self._costs.prompt(flash_attn, start, end, n_ubatch or self._request.n_ubatch)

    def answer(self, flash_attn: bool) -> float:
        count, together = self._request.answer_tokens, self._request.step_tokens
        middle = self._request.prompt_tokens + count // 2
        return count / together * self._costs.attention(flash_attn, together, middle)

    def relay(self, tokens: int) -> float:
        moved = self._request.kv_bytes_per_token * tokens
        return RELAY_SECONDS + moved / COPIED_BYTES_PER_SECOND


def _reason(request: Request, cost: _Cost, first: int) -> str:
    kept, prompt = request.beginning_tokens, request.prompt_tokens
    decode = cost.answer(True) - cost.answer(False)
    rest = cost.prompt(True, kept, prompt) - cost.prompt(False, kept, prompt)
    why = (
        f"{prompt - kept:,} tokens behind {kept:,} kept ones"
        if kept and rest > decode
        else f"decode behind {prompt:,} tokens"
    )
    return f"off after the first {first:,} tokens ({why})" if first else f"off ({why})"
