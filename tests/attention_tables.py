"""Tables of attention as machines would have them, for tests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from localprompt.engine.llama.proof.attention_child import BATCHES, DEPTHS, SEVERAL
from localprompt.records.attention import AttentionCost, AttentionTable

Cost = Callable[[bool, int, int], float]
"""Flash attention, tokens, depth → seconds."""

TILE = 64


def like_amx(flash_attn: bool, tokens: int, depth: int) -> float:
    """Flash attention is slow below 64 tokens, and fast from there on."""
    seen = depth + tokens / 2
    if flash_attn:
        return 50e-6 + tokens * seen * (0.02e-6 if tokens >= TILE else 1.2e-6)
    return 150e-6 + tokens * seen * (0.2e-6 if tokens == 1 else 0.04e-6)


def even(flash_attn: bool, tokens: int, depth: int) -> float:
    """A machine on which it makes no difference."""
    return like_amx(True, tokens, depth)


def table(cost: Cost = like_amx, *, slower_off: float = 1.0, whole: float = 0.0) -> AttentionTable:
    """A table of one layer, or of a whole model whose weights take so long for a token."""

    def at(flash: bool, tokens: int, depth: int) -> float:
        return cost(flash, tokens, depth) * (1 if flash else slower_off) + tokens * whole

    one = [
        AttentionCost(flash, tokens, depth, at(flash, tokens, depth))
        for flash, tokens, depth in product((True, False), BATCHES, DEPTHS)
    ]
    several = [(count, own) for count, depths in SEVERAL.items() for own in depths]
    for flash, apart, (count, own) in product((True, False), (True, False), several):
        others = (count - 1) * own
        seconds = count * at(flash, 1, own)
        if not apart:
            skipped = count * others * 0.1e-6
            shared = at(False, count, own + others)
            seconds = seconds + skipped if flash else shared
        one.append(AttentionCost(flash, 1, own, seconds, count, apart))
    return AttentionTable(tuple(one), 1.0, whole_model=bool(whole))
