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

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from localprompt.records.attention import AttentionTable
from localprompt.records.cell import Cell
from localprompt.records.run import RequestedSettings
from localprompt.running.admission import predicted_peak
from localprompt.running.attention_costs import TILE, Costs

COPIED_BYTES_PER_SECOND = 0.5e9
"""Of the KV cache when it is re-laid: out of one context, turned round, into another."""
RELAY_SECONDS = 0.02
"""To open another context for it."""
SMALLER_UBATCH = 128
"""Tokens of a physical batch whose scores take a quarter of the usual ones' memory."""
LEAST_SECONDS = 0.01
"""What another way than llama.cpp's own has to save."""
_STEP = 32
"""Tokens that kernels of matrix products take at once."""


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
    threads: int = 1
    """That share what is evaluated; re-laying is done by one."""


class Attention(msgspec.Struct, frozen=True):
    """What was chosen."""

    flash_attn: bool | None
    """For the rest of the prompt and for the answer; None: as llama.cpp chooses."""
    reason: str | None = None
    """None: the user typed it, or it is not for the program to choose."""
    flash_beginning: int = 0
    """So many tokens are evaluated with flash attention first, where ``flash_attn`` is off."""
    n_ubatch: int | None = None
    """Smaller than usual, where that is faster or all that fits, and so is n_batch; None: as the
    settings say."""
    saved_seconds: float = 0.0
    """CPU time against flash attention throughout; estimated."""
    copied_bytes: int = 0
    """Of the KV cache, held a second time while the beginning is re-laid."""

    def settings(self, asked: RequestedSettings) -> RequestedSettings:
        """The settings with what was chosen."""
        chosen = msgspec.structs.replace(asked, flash_attn=self.flash_attn)
        if self.n_ubatch is None:
            return chosen
        # A larger logical batch would be cut into physical ones with a rest of its own.
        return msgspec.structs.replace(chosen, n_batch=self.n_ubatch, n_ubatch=self.n_ubatch)

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


def choose(request: Request, table: AttentionTable, *, may_relay: bool) -> Attention:
    """The fastest way for a request, llama.cpp's own where nothing is gained.

    Args:
        may_relay: whether there is memory to hold the KV cache twice for a moment.
    """
    cost = _Cost(request, table)
    kept = request.beginning_tokens
    ways = list(_ways(request, cost, may_relay=may_relay))
    usual, way = ways[0], min(ways, key=lambda one: one.seconds)
    saved = usual.seconds - way.seconds
    if saved < LEAST_SECONDS:
        return Attention(True, "on: as fast as without, or faster")
    if way.flash_attn:
        reason = f"on, in batches of {way.n_ubatch}: no rest below {TILE} tokens"
        return Attention(True, reason, n_ubatch=way.n_ubatch, saved_seconds=saved)
    # A kept beginning is evaluated once, so with what evaluates it fastest.
    first = kept if may_relay and kept >= TILE else way.first
    return Attention(
        False,
        _reason(request, cost, first),
        first,
        None if first else way.n_ubatch,
        saved_seconds=saved,
    )


class _Way(NamedTuple):
    """How a request could go."""

    seconds: float
    flash_attn: bool
    n_ubatch: int | None = None
    """None: as many as usual."""
    first: int = 0
    """So many tokens with flash attention before."""


def _ways(request: Request, cost: _Cost, *, may_relay: bool) -> Iterator[_Way]:
    """All that are compared, llama.cpp's own first.

    What is kept costs nothing from the second run on, so it is left out: the choice must not depend
    on whether it was found, or the answer would.
    """
    kept, prompt = request.beginning_tokens, request.prompt_tokens
    on, off = cost.answer(True), cost.answer(False)
    yield _Way(cost.prompt(True, kept, prompt) + on, True)
    yield _Way(cost.prompt(False, kept, prompt) + off, False)
    if kept:
        return
    if request.smaller_ubatch:
        size = request.smaller_ubatch
        yield _Way(cost.prompt(False, 0, prompt, size) + off, False, size)
        size = _even(prompt, request.n_ubatch)
        if size < request.n_ubatch:
            yield _Way(cost.prompt(True, 0, prompt, size) + on, True, size)
    first = _tiled(prompt - 1, request.n_ubatch)
    if may_relay and first:
        begun = cost.prompt(True, 0, first) + cost.relay(first)
        seconds = begun + cost.prompt(False, first, prompt) + off
        yield _Way(seconds, False, first=first)


def _even(tokens: int, n_ubatch: int) -> int:
    """A physical batch that leaves no rest of a few tokens: as many batches as before, alike, in
    steps of what the kernels take at once."""
    batches = -(-tokens // n_ubatch)
    each = -(-tokens // batches)
    return min(n_ubatch, -(-each // _STEP) * _STEP) if batches > 1 else n_ubatch


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
        # A shape's seconds are those of one thread, and what is not shared weighs more beside them.
        self._unshared = 1 if table.whole_model else request.threads

    def prompt(self, flash_attn: bool, start: int, end: int, n_ubatch: int | None = None) -> float:
        return self._costs.prompt(flash_attn, start, end, n_ubatch or self._request.n_ubatch)

    def answer(self, flash_attn: bool) -> float:
        count, together = self._request.answer_tokens, self._request.step_tokens
        middle = self._request.prompt_tokens + count // 2
        return count / together * self._costs.attention(flash_attn, together, middle)

    def relay(self, tokens: int) -> float:
        moved = self._request.kv_bytes_per_token * tokens
        return self._unshared * (RELAY_SECONDS + moved / COPIED_BYTES_PER_SECOND)


def _reason(request: Request, cost: _Cost, first: int) -> str:
    kept, prompt = request.beginning_tokens, request.prompt_tokens
    decode = cost.answer(True) - cost.answer(False)
    rest = cost.prompt(True, kept, prompt) - cost.prompt(False, kept, prompt)
    if rest <= decode:
        why = f"decode behind {prompt:,} tokens"
    elif kept:
        why = f"{prompt - kept:,} tokens behind {kept:,} kept ones"
    else:
        why = f"a prompt of {prompt:,} tokens"
    return f"off after the first {first:,} tokens ({why})" if first else f"off ({why})"
