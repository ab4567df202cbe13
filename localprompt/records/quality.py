"""The frozen records of a model's quality: perplexity, divergence from a parent, and the text.

A measurement of quality is kept in the history like a bench or an evaluation, as an experiment of
the kind ``quality``. It has no runs: nothing is generated.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from localprompt.records.model import ModelRecord
from localprompt.records.run import Machine, Settings
from localprompt.stats.paired import wilson
from localprompt.stats.samples import Interval

_Z95 = 1.959963984540054  # NormalDist().inv_cdf(0.975)


class Perplexity(msgspec.Struct, frozen=True):
    """exp of the mean negative log-likelihood of a text's scored tokens."""

    value: float
    standard_error: float | None
    """Of ``value``, by the delta method; None for fewer than two tokens."""
    tokens: int
    """Scored, not read."""

    @property
    def interval(self) -> Interval | None:
        """95 %; on the scale of logarithms, where the mean is."""
        if self.standard_error is None:
            return None
        factor = math.exp(_Z95 * self.standard_error / self.value)
        return Interval(self.value / factor, self.value * factor)


class Mean(msgspec.Struct, frozen=True):
    """A mean over tokens."""

    value: float
    standard_error: float | None

    @property
    def interval(self) -> Interval | None:
        """95 %, normal."""
        if self.standard_error is None:
            return None
        half = _Z95 * self.standard_error
        return Interval(self.value - half, self.value + half)


class Divergence(msgspec.Struct, frozen=True):
    """How far a model is from its parent, over the same tokens."""

    tokens: int
    kl: Mean
    """Kullback-Leibler divergence of the model's next-token distribution from the parent's, in
    nats: Σ p(parent) · ln(p(parent) / p(model))."""
    agreed: int
    """Tokens after which both find the same next token most probable."""
    ratio: float
    """Perplexity of the model over that of the parent."""
    ratio_interval: Interval | None
    """95 %, from the differences token by token."""

    @property
    def agreement(self) -> float:
        return self.agreed / self.tokens

    @property
    def agreement_interval(self) -> Interval | None:
        """95 %, Wilson."""
        return wilson(self.agreed, self.tokens)


class TextFacts(msgspec.Struct, frozen=True):
    """What was read."""

    name: str
    sha256: str
    """Of its UTF-8 bytes."""
    chunks: int
    """That were read; of a hopeless candidate of a tuning not all."""
    n_ctx: int
    """Tokens of a chunk; the second half of each is scored."""


class Quality(msgspec.Struct, frozen=True):
    """One measurement: a model over a text, beside its parent where there is one."""

    id: str
    """As a run's: 26 characters, sorts by time."""
    kind: Literal["quality"]
    created_at: str
    localprompt_version: str
    title: str
    model: ModelRecord
    parent: ModelRecord | None
    """None: the model was measured alone."""
    text: TextFacts
    settings: Settings
    """The effective ones of the model; the parent was read with the usual ones."""
    perplexity: Perplexity
    parent_perplexity: Perplexity | None
    divergence: Divergence | None
    seconds: float
    """Wall time, loading included."""
    machine: Machine
