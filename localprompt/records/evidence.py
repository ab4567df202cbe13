"""The frozen records of the evidence: what an experiment found, and the rule that judges it.

A rule is data, not code, for two reasons. The page can print it *before* anything runs, from the
same object that decides afterwards; and a reader can check each verdict against the figures with no
program at all. A :class:`Condition` looks at one end of one figure's interval. A finding is

- ``supported`` where all of ``Rule.supported`` hold,
- ``not supported`` where one of ``Rule.refuted`` holds,
- ``not shown`` otherwise: the interval reaches over the bound, or a figure could not be measured.

Names (of experiments, figures, groups and notes) are keys into the texts of a language. What is
written here knows no language.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import msgspec

from localprompt.records.model import AdapterUse, ModelRecord
from localprompt.records.run import Machine
from localprompt.stats.samples import Interval

Basis = Literal["measured", "estimated"]
Unit = Literal[
    "bytes", "seconds", "usd", "share", "points", "ratio", "per_hour", "count", "perplexity", "loss"
]
"""``share``: 0 to 1; ``points``: a difference of two shares."""
Verdict = Literal["supported", "not supported", "not shown"]
End = Literal["value", "low", "high"]
Comparison = Literal[">", ">=", "<", "<=", "="]


class Figure(msgspec.Struct, frozen=True):
    """One figure, with what is known of how sure it is."""

    name: str
    value: float
    unit: Unit
    basis: Basis
    interval: Interval | None = None
    """95 % of a measured figure; the range of an estimated one; None where there is neither, as
    for what was measured once or counted."""
    n: int | None = None
    """Cases, repetitions or tokens that it rests on."""
    about: str = ""
    """What of: a model, a number of examples. Not translated."""


class Group(msgspec.Struct, frozen=True):
    """Figures of one unit that belong side by side."""

    name: str
    figures: tuple[Figure, ...]
    chance: float | None = None
    """What guessing scores: a line across the chart."""


class Note(msgspec.Struct, frozen=True):
    """A sentence that goes with a finding: its key, and what stands in its gaps."""

    name: str
    values: dict[str, str] = {}


class Sample(msgspec.Struct, frozen=True):
    """Text that was really sent or received, shown as it is."""

    name: str
    text: str
    about: str = ""


class Condition(msgspec.Struct, frozen=True):
    """One end of a figure against a bound."""

    figure: str
    end: End
    comparison: Comparison
    bound: float

    def holds(self, figures: Sequence[Figure]) -> bool | None:
        """None: the figure, or its interval, is not there."""
        figure = next((f for f in figures if f.name == self.figure), None)
        end = None if figure is None else _end(figure, self.end)
        if end is None:
            return None
        match self.comparison:
            case ">":
                return end > self.bound
            case ">=":
                return end >= self.bound
            case "<":
                return end < self.bound
            case "<=":
                return end <= self.bound
            case "=":
                return end == self.bound


class Rule(msgspec.Struct, frozen=True):
    """When a hypothesis counts as supported, and when as refuted; fixed before the figures."""

    supported: tuple[Condition, ...]
    """All of them."""
    refuted: tuple[Condition, ...]
    """One of them."""

    def verdict(self, figures: Sequence[Figure]) -> Verdict:
        if all(condition.holds(figures) for condition in self.supported):
            return "supported"
        if any(condition.holds(figures) for condition in self.refuted):
            return "not supported"
        return "not shown"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


class Plan(msgspec.Struct, frozen=True):
    """What an experiment is going to do."""

    number: int
    name: str
    rule: Rule
    expected_seconds: float
    """On 2 cores with the starter model; estimated."""


class Finding(msgspec.Struct, frozen=True):
    """What one experiment found."""

    number: int
    name: str
    key: str
    """Digest of its inputs: the same inputs need not be tried again."""
    made_at: str
    """UTC, ISO 8601."""
    seconds: float
    """Wall time, tunings that it had to wait for included."""
    rule: Rule
    verdict: Verdict
    figures: tuple[Figure, ...]
    """Those that the rule looks at, and those to be read beside them."""
    groups: tuple[Group, ...] = ()
    notes: tuple[Note, ...] = ()
    samples: tuple[Sample, ...] = ()
    prevented: str | None = None
    """Why the experiment, or a part of it, could not be done on this machine."""
    inputs: dict[str, str] = {}
    """What its key was made of: digests of model, data and procedure."""


class EvidenceReport(msgspec.Struct, frozen=True):
    """The plan of all chosen experiments, and what was found so far."""

    created_at: str
    localprompt_version: str
    model: ModelRecord
    machine: Machine
    plans: tuple[Plan, ...]
    findings: tuple[Finding, ...] = ()
    adapters: tuple[AdapterUse, ...] = ()
    """Made elsewhere; the tuned side of those experiments that can take one, as they note."""

    def finding(self, number: int) -> Finding | None:
        return next((f for f in self.findings if f.number == number), None)


def _end(figure: Figure, end: End) -> float | None:
    if end == "value":
        return figure.value
    if figure.interval is None:
        return None
    return figure.interval.low if end == "low" else figure.interval.high
