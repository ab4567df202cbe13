"""What logits say about a text, and about another model; pure.

Perplexity is exp of the mean negative log-likelihood of the scored tokens. Two models that read the
same text are compared token by token: what a token has of its own, being easy or hard, then drops
out, and the interval of a ratio of perplexities is far narrower than those of the two. Standard
errors take tokens as independent, as llama-perplexity does; neighbours are not quite, so intervals
are a little too narrow.

Sums are of 64 bit and in blocks of a few rows, which stay in the CPU's cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from localprompt.records.quality import Divergence, Mean, Perplexity
from localprompt.stats.samples import Interval

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Logits = npt.NDArray[np.float32]

_ROWS = 8


class Tally:
    """A running mean and the squared deviations from it, put together block by block (Chan et al.
    1979), which keeps the digits that a sum of squares would lose."""

    def __init__(self) -> None:
        self.n = 0
        self._mean = self._deviations = 0.0

    def add(self, values: npt.NDArray[np.float64]) -> None:
        mean, before = float(values.mean()), self.n
        self.n += values.size
        step = mean - self._mean
        self._mean += step * values.size / self.n
        self._deviations += float(((values - mean) ** 2).sum())
        self._deviations += step * step * before * values.size / self.n

    def mean(self) -> Mean:
        if self.n < 2:
            return Mean(self._mean, None)
        return Mean(self._mean, math.sqrt(self._deviations / (self.n - 1) / self.n))


def perplexity_of(losses: Tally) -> Perplexity:
    """The perplexity of tokens with these negative log-likelihoods."""
    mean = losses.mean()
    value = math.exp(mean.value)
    error = None if mean.standard_error is None else value * mean.standard_error
    return Perplexity(value, error, losses.n)


def divergence_of(kl: Tally, differences: Tally, agreed: int) -> Divergence:
    """
    Args:
        differences: of the negative log-likelihoods: the model's less the parent's.
    """
    mean = differences.mean()
    interval = mean.interval
    return Divergence(
        tokens=kl.n,
        kl=kl.mean(),
        agreed=agreed,
        ratio=math.exp(mean.value),
        ratio_interval=interval and Interval(math.exp(interval.low), math.exp(interval.high)),
    )


def losses(logits: Logits, targets: Sequence[int]) -> npt.NDArray[np.float64]:
    """Negative log-likelihood of the token that follows each row: log Σ exp(logits) − logit.

    Args:
        logits: one row per target, one column per token of the vocabulary.
    """
    import numpy as np

    found = np.empty(len(targets))
    for start in range(0, len(targets), _ROWS):
        block = logits[start : start + _ROWS]
        wanted = np.asarray(targets[start : start + _ROWS])
        largest = block.max(axis=1)
        total = np.exp(block - largest[:, None]).sum(axis=1, dtype=np.float64)
        chosen = block[np.arange(len(wanted)), wanted].astype(np.float64)
        found[start : start + _ROWS] = np.log(total) + largest - chosen
    return found


def divergences(parent: Logits, model: Logits) -> tuple[npt.NDArray[np.float64], int]:
    """Of each row of two models' logits: KL divergence in nats; and how often the largest agree."""
    import numpy as np

    found = np.empty(len(parent))
    agreed = 0
    for start in range(0, len(parent), _ROWS):
        p = _log_softmax(parent[start : start + _ROWS])
        q = _log_softmax(model[start : start + _ROWS])
        agreed += int((p.argmax(axis=1) == q.argmax(axis=1)).sum())
        # Equal distributions differ by rounding; a divergence is never below 0.
        sums = (np.exp(p) * (p - q)).sum(axis=1, dtype=np.float64)
        found[start : start + _ROWS] = np.maximum(0.0, sums)
    return found, agreed


def _log_softmax(logits: Logits) -> Logits:
    import numpy as np

    shifted = logits - logits.max(axis=1)[:, None]
    total = np.exp(shifted).sum(axis=1, dtype=np.float64)
    result: Logits = shifted - np.log(total)[:, None].astype(np.float32)
    return result
