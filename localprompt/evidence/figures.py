"""Figures from measurements: the few shapes in which all experiments hand them back."""

from __future__ import annotations

from collections.abc import Sequence

from localprompt.evidence.lab import Answers
from localprompt.records.evidence import Figure, Unit
from localprompt.stats.paired import compare_passes, wilson
from localprompt.stats.ranges import Range
from localprompt.stats.samples import Interval, summarize


def score(name: str, answers: Answers, about: str = "") -> Figure:
    """The share of cases that passed, with its Wilson interval."""
    n = len(answers.passed)
    interval = wilson(answers.right, n)
    return Figure(name, answers.right / n, "share", "measured", interval, n, about)


def gain(name: str, before: Sequence[bool], after: Sequence[bool], about: str = "") -> Figure:
    """How much higher ``after`` scores over the same cases: paired, with its interval."""
    compared = compare_passes(before, after)
    return Figure(
        name, compared.difference, "points", "measured", compared.interval, compared.n, about
    )


def middle(name: str, samples: Sequence[float], unit: Unit, about: str = "") -> Figure:
    """The median of repetitions; from six on with its interval."""
    summary = summarize(samples)
    return Figure(name, summary.median, unit, "measured", summary.interval, summary.n, about)


def once(name: str, value: float, unit: Unit, about: str = "") -> Figure:
    """What was measured once, or counted."""
    return Figure(name, value, unit, "measured", None, None, about)


def estimated(name: str, value: Range, unit: Unit, about: str = "") -> Figure:
    """An estimate and its range."""
    return Figure(
        name, value.typical, unit, "estimated", Interval(value.low, value.high), None, about
    )


def ratio(name: str, above: Figure, below: Figure, about: str = "") -> Figure:
    """One figure over another. The ends of the interval are the extremes of both: wider than a
    95 % interval has to be, never narrower. What has no interval counts as exact."""
    high, low = above.interval, below.interval
    interval = None
    if high is not None or low is not None:
        interval = Interval(
            (high.low if high else above.value) / (low.high if low else below.value),
            (high.high if high else above.value) / (low.low if low else below.value),
        )
    both = "measured" if above.basis == below.basis == "measured" else "estimated"
    return Figure(
        name,
        above.value / below.value,
        "ratio",
        "measured" if both == "measured" else "estimated",
        interval,
        None,
        about,
    )
