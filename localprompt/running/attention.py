"""With flash attention or without: chosen for each request, by what this machine takes for either.

llama.cpp computes attention in two ways. With flash attention it goes through the KV cache in
tiles, which on CPUs pays for batches of 64 tokens and more; each token of a smaller batch, a
decoded one above all, walks through the cache alone. Without, keys and values are multiplied with
all of a batch's tokens as any other matrices are, and the scores are kept as a whole. Which one is
faster depends on the CPU, on the shape of the heads, on how many tokens come at once, and on how
many lie before them; so it is measured (:mod:`localprompt.engine.llama.proof.attention`) and
counted here.

A request has three parts: what of its beginning is evaluated apart, the rest of its prompt, and
its answer. Attention costs for a batch of t tokens behind d others, in all of a model's layers::

    layers × seconds(way, t, d)

with ``seconds`` interpolated in the table: in d between the measured depths and beyond the last
by the same slope; in t between the measured batches, except that flash attention's batches below
64 tokens are no guide for those above. Three ways are compared:

- with flash attention throughout,
- without,
- the prompt's beginning with, the rest and the answer without: the values in the KV cache are then
  re-laid once, which takes the time of copying them some times.

What is not attention costs the same in all three and is left out.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from localprompt.engine.base import Engine
from localprompt.errors import ModelFileError
from localprompt.measure import memory
from localprompt.models.inspect import inspect_model
from localprompt.models.predict import predict_memory
from localprompt.records.attention import AttentionTable, Heads
from localprompt.records.cell import Cell
from localprompt.records.run import whole_context
from localprompt.running.admission import predicted_peak
from localprompt.running.memory_limit import N_BATCH

TILE = 64
"""Tokens from which on flash attention works in tiles."""
COPIED_BYTES_PER_SECOND = 0.5e9
"""Of the KV cache when it is re-laid: out of one context, turned round, into another."""
RELAY_SECONDS = 0.02
"""To open another context for it."""
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


class Attention(msgspec.Struct, frozen=True):
    """What was chosen."""

    flash_attn: bool | None
    """For the rest of the prompt and for the answer; None: as llama.cpp chooses."""
    reason: str | None = None
    """None: the user typed it, or it is not for the program to choose."""
    flash_beginning: int = 0
    """So many tokens are evaluated with flash attention first, where ``flash_attn`` is off."""
    saved_seconds: float = 0.0
    """CPU time against flash attention throughout; estimated."""
    copied_bytes: int = 0
    """Of the KV cache, held a second time while the beginning is re-laid."""

    def peak(
        self, cell: Cell, n_ctx: int, baseline_bytes: int | None, prompt_tokens: int
    ) -> int | None:
        """Estimated peak RSS of running the cell so; arguments as
        :func:`localprompt.running.admission.predicted_peak`."""
        way = True if self.flash_beginning else self.flash_attn
        settings = msgspec.structs.replace(cell.settings, flash_attn=way)
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
) -> Attention:
    """What fits a request that is about to be evaluated.

    Args:
        beginning_tokens: of the constant beginning that is evaluated apart; 0: there is none.
        n_ctx: cells that will be opened.
        baseline_bytes: resident before the model was opened; None: unknown.
    """
    settings = cell.settings
    if settings.flash_attn is not None or cell.kind not in _CHOSEN_FOR:
        return Attention(settings.flash_attn)
    try:
        info = inspect_model(Path(cell.model.path))
    except ModelFileError:
        return Attention(None)
    if info.recurrent or info.n_swa or len(set(info.n_head_kv)) != 1:
        return Attention(None, "llama.cpp's own: not every layer attends to everything alike")
    if settings.type_v not in _PLAIN:
        return Attention(None, f"llama.cpp's own: values in {settings.type_v} need it on")
    heads = Heads(
        n_head=info.n_head,
        n_head_kv=info.n_head_kv[0],
        key_length=info.key_length,
        value_length=info.value_length,
        type_k=settings.type_k,
        type_v=settings.type_v,
    )
    table = engine.attention_table(heads, may_measure=prompt_tokens >= _WORTH_MEASURING)
    if table is None:
        return Attention(None, "llama.cpp's own: not measured on this machine")
    kv_cache = predict_memory(
        info, n_ctx=n_ctx, type_k=settings.type_k, type_v=settings.type_v
    ).kv_cache_bytes
    request = Request(
        prompt_tokens=prompt_tokens,
        beginning_tokens=beginning_tokens,
        answer_tokens=min(cell.sampling.max_tokens, _MOST_EXPECTED) // 2,
        n_layer=info.n_layer,
        kv_bytes_per_token=kv_cache // whole_context(n_ctx),
        n_ubatch=settings.n_ubatch or N_BATCH,
    )

    def fits(way: Attention) -> bool:
        return _fits(way, cell, n_ctx, baseline_bytes, prompt_tokens)

    relayed = Attention(False, None, prompt_tokens, copied_bytes=kv_cache)
    chosen = choose(request, table, may_relay=fits(relayed))
    if chosen.flash_beginning:
        return msgspec.structs.replace(chosen, copied_bytes=kv_cache)
    if chosen.flash_attn or fits(chosen):
        return chosen
    return Attention(True, "on: no memory for the scores without it")


def _fits(
    way: Attention, cell: Cell, n_ctx: int, baseline_bytes: int | None, prompt_tokens: int
) -> bool:
    """Whether there is memory for it, below the cell's limit as well."""
    peak = way.peak(cell, n_ctx, baseline_bytes, prompt_tokens)
    if peak is None or (cell.limit is not None and peak > cell.limit.bytes):
        return False
    available, resident = memory.available().available_bytes, memory.read().rss_bytes or 0
    return available is None or peak - resident <= available


_CHOSEN_FOR = frozenset({"ask", "run", "chat"})
"""Others are there to compare settings, and keep what is typed."""
_PLAIN = frozenset({"f32", "f16", "bf16"})
_WORTH_MEASURING = 192
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
    ways = {
        "on": cost.prompt(True, kept, prompt) + cost.answer(True),
        "off": cost.prompt(False, kept, prompt) + cost.answer(False),
    }
    if may_relay and not kept and prompt > TILE:
        ways["both"] = (
            cost.prompt(True, 0, prompt - 1) + cost.relay(prompt - 1) + cost.answer(False)
        )
    way = min(ways, key=lambda name: ways[name])
    saved = ways["on"] - ways[way]
    if saved < LEAST_SECONDS:
        return Attention(True, "on: as fast as without, or faster")
    # A kept beginning is evaluated once, so with what evaluates it fastest.
    first = prompt - 1 if way == "both" else kept if may_relay and kept >= TILE else 0
    return Attention(False, _reason(request, cost, first), first, saved)


def seconds(table: AttentionTable, flash_attn: bool, tokens: int, depth: int) -> float:
    """Of one layer, for a batch of so many tokens behind so many others."""
    measured = sorted({(c.tokens) for c in table.costs if c.flash_attn == flash_attn})
    if flash_attn:
        measured = [size for size in measured if (size < TILE) == (tokens < TILE)]
    return _line(tokens, [(size, _at_depth(table, flash_attn, size, depth)) for size in measured])


def _at_depth(table: AttentionTable, flash_attn: bool, tokens: int, depth: int) -> float:
    points = [
        (c.depth, c.seconds)
        for c in table.costs
        if c.flash_attn == flash_attn and c.tokens == tokens
    ]
    return _line(depth, sorted(points))


def _line(x: float, points: list[tuple[int, float]]) -> float:
    """Between two points on the line through them, beyond the last on that through the last two;
    never below nothing."""
    if len(points) == 1:
        return points[0][1]
    at = next((i for i in range(1, len(points) - 1) if x <= points[i][0]), len(points) - 1)
    (x0, y0), (x1, y1) = points[at - 1], points[at]
    return max(0.0, y0 + (y1 - y0) * (x - x0) / (x1 - x0))


class _Cost:
    """Seconds of a request's parts, in all layers."""

    def __init__(self, request: Request, table: AttentionTable) -> None:
        self._request = request
        self._table = table

    def prompt(self, flash_attn: bool, start: int, end: int) -> float:
        step = self._request.n_ubatch
        return self._request.n_layer * sum(
            seconds(self._table, flash_attn, min(step, end - at), at)
            for at in range(start, end, step)
        )

    def answer(self, flash_attn: bool) -> float:
        count = self._request.answer_tokens
        middle = self._request.prompt_tokens + count // 2
        return self._request.n_layer * count * seconds(self._table, flash_attn, 1, middle)

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
