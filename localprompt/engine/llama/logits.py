"""Logits as NumPy arrays, for what reads all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from localprompt.engine.device import LookedUp
from localprompt.engine.llama.library import library
from localprompt.errors import EngineError

Logits = npt.NDArray[np.float32]


def row(context: Any, batch_index: int, n_vocab: int) -> Logits:
    """The logits after one token of the last batch; valid until the next one is decoded."""
    pointer = library().llama_get_logits_ith(context, batch_index)
    if not pointer:
        raise EngineError("llama.cpp has no logits there", found=f"batch index {batch_index}")
    return np.ctypeslib.as_array(pointer, shape=(n_vocab,))


def log_probabilities(logits: Logits, token_ids: Sequence[int]) -> LookedUp:
    """Of some tokens among all, and of the most probable one: logit − log Σ exp(logits).

    The exponentials are of 32-bit differences to the largest logit, their sum is of 64 bit.
    """
    largest = logits.max()
    total = np.exp(logits - largest).sum(dtype=np.float64)
    normalizer = float(largest) + float(np.log(total))
    values = [float(logits[token_id]) - normalizer for token_id in token_ids]
    return LookedUp(values, float(largest) - normalizer)


def forbid(logits: Logits, mask: bytes) -> None:
    """Make tokens impossible whose bit in the mask is 0; the lowest bit is the first token's."""
    allowed = np.unpackbits(np.frombuffer(mask, np.uint8), count=len(logits), bitorder="little")
    logits[allowed == 0] = -np.inf
