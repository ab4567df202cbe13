"""The frozen records of a choice among models: quality, speed, memory and cost of the same answers.

A :class:`Choice` is stored, and says only where its figures are: in an evaluation (how many cases
each model passes, and what all its answers took) and in a bench (what one answer takes, alone, in a
fresh process). Everything else is derived from these two whenever it is read.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from localprompt.records.evaluation import EvalTarget, PassRate
from localprompt.records.run import Machine
from localprompt.stats.ranges import Range
from localprompt.stats.samples import Comparison, Interval, Summary

Basis = Literal["measured", "estimated"]


class Prices(msgspec.Struct, frozen=True):
    """What the money of answers is made of."""

    usd_per_kwh: float | None = None
    """As the user said; None: a range from cheap to dear."""
    usd_per_hour: float | None = None
    """What an hour of this machine costs, as the user said: then money is time. None: money is
    electricity."""


class Choice(msgspec.Struct, frozen=True):
    """One invocation of ``choose``, as planned."""

    id: str
    """As a run's: 26 characters, sorts by time."""
    kind: Literal["choose"]
    created_at: str
    localprompt_version: str
    title: str
    """The suite's name."""
    evaluation: str
    """Its id; its targets are what is chosen among."""
    bench: str
    """Its id."""
    cells: tuple[str | None, ...]
    """By target: the key of its cell in the bench; None: it cannot run alone, and ``refused`` of
    the bench says why."""
    case_id: str
    """The case that the bench repeats: the one of median length."""
    prices: Prices
    machine: Machine


class ThousandAnswers(msgspec.Struct, frozen=True):
    """What 1,000 answers take, as the evaluation made them: many at once, load excluded."""

    answered: int
    """Answers that this is measured by."""
    seconds: float
    cpu_seconds: float
    watt_hours: float | None
    """Of the processor's packages and memory by RAPL; None: no counter can be read here."""
    usd: Range
    basis: Basis
    """``measured``: measured time or energy times a price that was said; else ``estimated``."""


class ChoiceRow(msgspec.Struct, frozen=True):
    """One model with one prompt."""

    target: EvalTarget
    passes: PassRate
    ttft: Summary | None
    """Of one answer in a process of its own, load excluded; None: not measured."""
    decode: Summary | None
    """Tokens per second; None: not measured, or answers of one token."""
    answer: Summary | None
    """Seconds of one whole answer, load excluded."""
    peak_rss_bytes: int | None
    thousand: ThousandAnswers | None
    """None: nothing was answered anew, or a model also judged."""
    only_answer: str | None
    """The label that it answered every case with; None: there is none."""
    on_front: bool
    """No other is better in one respect and worse in none, as far as can be told."""
    beaten_by: tuple[int, ...] = ()
    """Rows that are; empty where it is on the front."""


class ChoicePair(msgspec.Struct, frozen=True):
    """Two rows, ``a`` against ``b``."""

    a: int
    """Index of the row with the higher pass rate; where they are equal, of the first."""
    b: int
    paired: int
    """Cases that both sides answered and that could be scored."""
    difference: float
    """Pass rate of ``a`` less that of ``b``."""
    interval: Interval
    """95 %, of the difference."""
    p_value: float
    """Exact McNemar, adjusted for all tests of the evaluation (Holm)."""
    better: bool
    """The cases show that ``a`` passes more of them."""
    speed: Comparison | None
    """Seconds of an answer, ``b`` against ``a``; None: one of them was not measured."""
    cases_needed: int | None
    """So many cases would show the difference; None where none was observed, or it is shown."""


class ChoiceResult(msgspec.Struct, frozen=True):
    """A choice as views show it."""

    choice: Choice
    rows: tuple[ChoiceRow, ...]
    """In the order of the evaluation's targets."""
    pairs: tuple[ChoicePair, ...]
    """Every two rows that answered the same cases."""
    cases: int
    scoring: str
    """How closed answers were chosen."""
    suite: str
    """As it can be typed again."""
    complete: bool
    """False: answers or repetitions are missing; ``--resume`` makes them."""
