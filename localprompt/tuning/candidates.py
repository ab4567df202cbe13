"""What is tried: weights in other types, and settings one at a time; pure.

Settings are varied one by one around the usual ones, because they hardly interact: what they
cost and gain belongs to different parts of a request. The changes that pay are then put together
and have to prove themselves together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from localprompt.records.model import ModelRecord

DEFAULT_TYPES = ("q4_0", "iq4_nl", "q4_k_m", "q8_0")
"""Types that llama.cpp lays out for the CPU when it loads them, from the smallest."""
_USUAL_BATCH = 512

Changes = dict[str, Any]


class Candidate(msgspec.Struct, frozen=True):
    """Weights and settings that could be used."""

    model: ModelRecord
    changes: Changes
    """Fields of RequestedSettings that are not the usual ones."""

    @property
    def key(self) -> str:
        facts = (self.model.sha256, self.model.name, sorted(self.changes.items()))
        return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:16]

    @property
    def name(self) -> str:
        """``smollm2-135m-q8_0, n_ubatch 128``."""
        changes = (f"{field} {_shown(value)}" for field, value in self.changes.items())
        return ", ".join((self.model.name, *changes))


def variations(
    threads: int, logical_cores: int, prompt_tokens: int, *, mapped: bool = True
) -> Iterator[Changes]:
    """Single changes of the usual settings.

    Args:
        threads: the usual number.
        logical_cores: threads that the CPU runs at once.
        prompt_tokens: batches beyond the prompt's length change nothing and are left out.
        mapped: whether the weights usually are; where they are read, reading is no change.
    """
    for count in sorted({max(1, threads // 2), logical_cores} - {threads}):
        yield {"n_threads": count, "n_threads_batch": count}
        yield {"n_threads": count, "n_threads_batch": threads}
    for size in (64, 128, 256):
        if size < prompt_tokens:
            yield {"n_ubatch": size}
    if prompt_tokens > _USUAL_BATCH:
        yield {"n_batch": 2048, "n_ubatch": 1024}
        yield {"n_batch": 2048, "n_ubatch": 2048}
    yield {"flash_attn": False}
    yield {"type_k": "q8_0", "type_v": "q8_0"}
    if mapped:
        yield {"use_mmap": False}
    yield {"repack": False}


def together(changes: Sequence[Changes]) -> Changes:
    """Changes that paid, best first, as one; of two that set the same field the better stays."""
    merged: Changes = {}
    for one in changes:
        conflict = merged.keys() & one.keys()
        needs_flash = one.get("flash_attn") is False and "type_v" in merged
        breaks_cache = "type_v" in one and merged.get("flash_attn") is False
        if not conflict and not needs_flash and not breaks_cache:
            merged |= one
    return merged


def _shown(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
