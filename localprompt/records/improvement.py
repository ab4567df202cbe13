"""The frozen records of a search for a better prompt: what was asked for, tried, and proved.

An improvement is kept in the history as an experiment of the kind ``improve``. Its answers lie in
a history of the search's own (``cache/improve.db``), from which a search that was cut off, or one
on more cases, takes what it needs.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from localprompt.records.model import ModelRecord
from localprompt.records.run import Machine, RequestedSettings
from localprompt.stats.paired import PassComparison, ScoreComparison
from localprompt.stats.samples import Interval

Searched = Literal["wordings", "examples", "scoring", "answers"]


class ImproveRequest(msgspec.Struct, frozen=True):
    """What a user asks for: enough to begin the same search again."""

    prompt: str
    """A prompt's name or file."""
    cases: str | None = None
    """None: the prompt's own."""
    final: str | None = None
    """A file of cases to prove on, instead of a part of the others."""
    model: str | None = None
    search: tuple[Searched, ...] = ("wordings", "examples", "scoring", "answers")
    wordings: str | None = None
    """A file of wordings of the user's own."""
    labels: str | None = None
    """A file of words that the model may say for each choice."""
    nearest_by: str | None = None
    """A model whose embeddings say which examples are near; None: only words do."""
    rewrite_with: str | None = None
    """A model that writes more wordings."""
    metric: str | None = None
    """``pass``, ``score``, ``macro_f1``, ``fields``, or the name of a metric of the cases; None:
    ``fields`` where every case expects an object, ``pass`` where not."""
    seed: int = 0
    minutes: float | None = None
    max_evaluations: int | None = None
    max_tokens: int | None = None
    """Most prompt and answer tokens that the search may evaluate."""
    max_prompt_tokens: int | None = None
    max_ttft_seconds: float | None = None
    judge: str | None = None
    settings: RequestedSettings = RequestedSettings()
    cached: bool = True
    """False: answers of earlier searches are not taken over."""
    force: bool = False
    keep_anyway: bool = False
    output: str | None = None


class PartSize(msgspec.Struct, frozen=True):
    """One part of the split."""

    name: str
    cases: int
    labels: dict[str, int] = {}
    """Cases by expected answer, where these are a closed set."""


class Standing(msgspec.Struct, frozen=True):
    """How a candidate came out on one part of the cases."""

    cases: int
    value: float
    """Of the metric."""
    interval: Interval | None = None
    """95 %."""


class Weighing(msgspec.Struct, frozen=True):
    """How a closed answer is chosen from log-probabilities."""

    name: Literal["raw", "normalized", "calibrated", "batch", "fitted"] = "raw"
    per_byte: bool = False
    bias: dict[str, float] = {}


class Trial(msgspec.Struct, frozen=True):
    """One candidate: a wording with examples."""

    key: str
    wording: str
    """What was changed of the wording, in words; ``as it is`` for the original's."""
    examples: str
    """Which examples it shows, in words; ``none``, or ``its own`` for those of the original."""
    body: str
    """The template."""
    answers: str = ""
    """How a free answer is made, in words; empty for the original's own way."""
    weighing: Weighing = Weighing()
    """The way of choosing that did best for it."""
    search: Standing | None = None
    """On the cases of the search part that it was asked; None: it was never asked."""
    selection: Standing | None = None
    likelihood: float | None = None
    """What finalists with closed answers are ranked by, over both parts: the mean logarithm of the
    right choice's share, habits aside; 0 at best. None: not a finalist, or ranked by the metric."""
    prompt_tokens: float | None = None
    """Median of the prompts that it made."""
    own_tokens: float | None = None
    """Of those, what is evaluated anew for each case: the rest is a constant beginning."""
    ttft_seconds: float | None = None
    """Of one answer in a process of its own, its constant beginning kept; None: not measured, as
    of all that did not reach the selection part."""
    peak_rss_bytes: int | None = None
    """Of that process."""
    out: str | None = None
    """Why it was given up; None: it was not."""

    @property
    def asked(self) -> str:
        """How it asks, in words: its wording, and how a free answer is made."""
        return f"{self.wording}; {self.answers}" if self.answers else self.wording


class FlippedCase(msgspec.Struct, frozen=True):
    """A case of the final part that only one of the two prompts got right."""

    case_id: str
    repaired: bool
    """True: the winner got it right, the original did not."""
    vars: dict[str, Any]
    expected: str | None
    answer_before: str
    answer_after: str


class FinalComparison(msgspec.Struct, frozen=True):
    """The original and the winner, once, on cases that nothing before has looked at."""

    n: int
    before: float
    after: float
    difference: float
    interval: Interval | None
    """95 %, of the difference."""
    p_value: float
    test: Literal["exact McNemar", "sign-flip permutation", "swap permutation"]
    shown: bool
    """Whether a gain was shown: the difference is above zero and p is below 0.05."""
    passes: PassComparison | None = None
    scores: ScoreComparison | None = None
    flips: tuple[FlippedCase, ...] = ()


class Alone(msgspec.Struct, frozen=True):
    """What one of the winner's changes gives by itself, on the selection part."""

    change: Searched
    what: str
    """In words."""
    difference: float
    """To the original."""
    interval: Interval | None


class Improvement(msgspec.Struct, frozen=True):
    """One invocation of ``improve``."""

    id: str
    kind: Literal["improve"]
    created_at: str
    localprompt_version: str
    title: str
    request: ImproveRequest
    model: ModelRecord
    prompt: str
    prompt_sha256: str
    cases_sha256: str
    """Of all cases with the final part's; a search goes on only while it stays the same."""
    machine: Machine
    parts: tuple[PartSize, ...] = ()
    notes: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()
    """The original first, then in the order in which they were tried."""
    original: str | None = None
    winner: str | None = None
    """Keys of trials."""
    final: FinalComparison | None = None
    alone: tuple[Alone, ...] = ()
    before: str | None = None
    after: str | None = None
    """The two prompt files' text."""
    output: str | None = None
    """The file that was written; None: none was."""
    evaluations: int = 0
    """Cases that were asked, those taken over from the cache included."""
    cached: int = 0
    raced: int = 0
    """Of those, the cases that candidates were asked while they raced."""
    full_grid: int = 0
    """What every candidate on every case of the search part would have been."""
    tokens: int = 0
    """Prompt and answer tokens of what was asked anew."""
    seconds: float | None = None
    """Wall time; None while it is not finished."""
    stopped: str | None = None
    """Which budget ended the search early."""

    def trial(self, key: str | None) -> Trial | None:
        return next((trial for trial in self.trials if trial.key == key), None)


def frontier(trials: tuple[Trial, ...]) -> frozenset[str]:
    """Keys of the trials that no other one beats in score and time per answer at once; pure.

    Only trials that reached the selection part take part: others stand on too few cases. Where no
    time was measured, the tokens that are evaluated anew stand for it.
    """
    timed = all(t.ttft_seconds is not None for t in trials if t.selection is not None)
    points = {
        trial.key: (-trial.selection.value, cost)
        for trial in trials
        if trial.selection is not None
        and (cost := trial.ttft_seconds if timed else trial.own_tokens) is not None
    }

    def beaten(key: str) -> bool:
        mine = points[key]
        return any(
            other != mine and all(a <= b for a, b in zip(other, mine, strict=True))
            for other in points.values()
        )

    return frozenset(key for key in points if not beaten(key))
