"""The frozen records of a tuning: what was tried, what it gave, what was chosen.

A tuning is kept in the history as an experiment of the kind ``tune``. Its runs are ordinary run
records of that kind, in their place under it; its evaluations and measurements of quality are
experiments of their own, named here by their ids.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from localprompt.records.model import ModelRecord
from localprompt.records.quality import Divergence
from localprompt.records.run import Machine
from localprompt.stats.paired import PassComparison
from localprompt.stats.samples import Interval


class Bounds(msgspec.Struct, frozen=True):
    """What quality may be lost."""

    perplexity: float = 0.03
    """Most that perplexity may rise, as a share of the parent's."""
    p_value: float = 0.05
    """Below it, a lower pass rate is one that was shown (exact McNemar test over the cases)."""


class SuiteOutcome(msgspec.Struct, frozen=True):
    """A candidate over the user's suite."""

    evaluation: str
    """Id of the evaluation."""
    passed: int
    scored: int
    cases_per_second: float | None
    """Many at once; None where nothing was answered anew."""
    against: PassComparison | None = None
    """Beside the usual settings, case by case; None for those themselves."""


class Trial(msgspec.Struct, frozen=True):
    """One candidate: weights and settings, and what is known of them."""

    key: str
    model: ModelRecord
    changes: dict[str, Any]
    """Settings that are not the usual ones, by their fields."""
    runs: int = 0
    seconds: float | None = None
    """Median time of a request: the prompt's prefill, and as many tokens as the usual settings
    answered with. None: it never ran."""
    prefill_tokens_per_second: float | None = None
    decode_tokens_per_second: float | None = None
    peak_rss_bytes: int | None = None
    quality: str | None = None
    """Id of the measurement of quality."""
    divergence: Divergence | None = None
    suite: SuiteOutcome | None = None
    out: str | None = None
    """Why it was given up; None: it was not."""


class Tuning(msgspec.Struct, frozen=True):
    """One invocation of ``tune``."""

    id: str
    """As a run's: 26 characters, sorts by time."""
    kind: Literal["tune"]
    created_at: str
    localprompt_version: str
    title: str
    model: ModelRecord
    prompt: str
    prompt_tokens: int | None
    answer_tokens: int | None
    """As many as the usual settings answered with: what every candidate is counted for."""
    suite: str | None
    bounds: Bounds
    machine: Machine
    trials: tuple[Trial, ...] = ()
    """The usual settings first, then in the order in which they were tried."""
    chosen: str | None = None
    """Key of a trial; None: nothing was faster inside the bounds, or it is not finished."""
    speed_up: float | None = None
    """The usual settings' seconds over those of the chosen, from runs in turn."""
    speed_up_interval: Interval | None = None
    """95 %; None for too few runs."""
    profile: str | None = None
    seconds: float | None = None
    """Wall time; None while it is not finished."""

    def trial(self, key: str | None) -> Trial | None:
        return next((trial for trial in self.trials if trial.key == key), None)


def frontier(trials: tuple[Trial, ...]) -> frozenset[str]:
    """Keys of the trials that no other one beats in speed, quality and memory at once; pure.

    Only trials with all three figures take part. The usual settings have the parent's quality.
    """
    points = {
        trial.key: (trial.seconds, _loss(trial, trials[0]), trial.peak_rss_bytes)
        for trial in trials
        if trial.seconds and trial.peak_rss_bytes and _loss(trial, trials[0]) is not None
    }

    def beaten(key: str) -> bool:
        mine: Any = points[key]
        return any(
            all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine
            for other in points.values()
        )

    return frozenset(key for key in points if not beaten(key))


def _loss(trial: Trial, usual: Trial) -> float | None:
    """Perplexity over the parent's; what the parent itself has is 1."""
    if trial.divergence is not None:
        return trial.divergence.ratio
    numeric = {"type_k", "type_v"} & trial.changes.keys()
    return 1.0 if trial.model.sha256 == usual.model.sha256 and not numeric else None
