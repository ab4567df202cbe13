"""The form of a result: sections of figures, with the environment in which they were taken.

A :class:`Figure` is one quantity on two sides that took turns. Its raw samples are kept in the
order of the turns, so that sample i of one side belongs to sample i of the other; the ratio is
made pair by pair, because two runs next to each other share the machine's mood and two medians
do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from localprompt.records.model import ModelRecord
from localprompt.records.run import Machine, RunWarning

BUSY_CODES = frozenset({"other_load", "stolen_time", "cpu_quota", "throttled", "on_battery"})
"""Warnings after which the figures are of the machine's other work as much as of the programs."""


class Target(msgspec.Struct, frozen=True):
    """Where a median ratio should lie; an open side is None."""

    at_least: float | None = None
    at_most: float | None = None

    def holds(self, ratio: float) -> bool:
        above = self.at_least is None or ratio >= self.at_least
        return above and (self.at_most is None or ratio <= self.at_most)


class Ratio(msgspec.Struct, frozen=True):
    """A / B of every pair."""

    median: float
    lowest: float
    highest: float
    n: int


class Figure(msgspec.Struct, frozen=True):
    """One quantity, measured on two sides in turns."""

    what: str
    unit: str
    """Of the samples and medians: tok/s, s or B."""
    a: str
    """The side above the line of the ratio."""
    b: str
    a_median: float
    b_median: float
    ratio: Ratio
    target: Target | None = None
    """None: shown for orientation."""
    a_samples: tuple[float, ...] = ()
    """One for each pair; empty where the program that measured kept none."""
    b_samples: tuple[float, ...] = ()

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.target.holds(self.ratio.median)


class Section(msgspec.Struct, frozen=True):
    """One question, and the figures that answer it."""

    name: str
    title: str
    how: str
    """What was run, in a sentence or two."""
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    """Facts that belong to the figures: settings, versions, what was not compared."""
    warnings: tuple[RunWarning, ...] = ()
    """About the machine, from before the section to after it."""
    skipped: str | None = None
    """Why nothing was measured."""
    failed: bool = False
    """Whether that is an error; otherwise something is not installed here."""
    seconds: float = 0.0
    """How long it took."""


class Environment(msgspec.Struct, frozen=True):
    machine: Machine
    localprompt_version: str
    revision: str | None
    """Of the checkout, with ``+changes`` where it had uncommitted ones."""
    model: ModelRecord
    """``path`` is the file's name only."""
    tools: str
    """Where llama.cpp's programs came from."""
    libraries: str
    """Which llama.cpp those programs computed with."""
    load_average_before: tuple[float, float, float] | None
    load_average_after: tuple[float, float, float] | None


class PeerResult(msgspec.Struct, frozen=True):
    """One run of the harness."""

    measured_at: str
    """UTC, ISO 8601: when it began."""
    pairs: int
    repetitions: int
    """Inside each turn, where a program repeats by itself."""
    threads: int
    environment: Environment
    sections: tuple[Section, ...]

    @property
    def busy(self) -> bool:
        """Whether the machine had other work; then the figures are good for a test at most."""
        codes = {warning.code for section in self.sections for warning in section.warnings}
        return not codes.isdisjoint(BUSY_CODES)


def figure(
    what: str,
    unit: str,
    a: tuple[str, Sequence[float]],
    b: tuple[str, Sequence[float]],
    target: Target | None = None,
) -> Figure:
    """A figure from samples in the order of the turns.

    Args:
        a, b: name and samples of each side, as many on one as on the other.

    Raises:
        ValueError: no samples, or not the same number on both sides.
    """
    (a_name, a_samples), (b_name, b_samples) = a, b
    ratios = [x / y for x, y in zip(a_samples, b_samples, strict=True)]
    if not ratios:
        raise ValueError(f"{what}: no samples")
    return Figure(
        what=what,
        unit=unit,
        a=a_name,
        b=b_name,
        a_median=median(a_samples),
        b_median=median(b_samples),
        ratio=Ratio(median(ratios), min(ratios), max(ratios), len(ratios)),
        target=target,
        a_samples=tuple(a_samples),
        b_samples=tuple(b_samples),
    )


def write_json(result: PeerResult, path: Path) -> None:
    text = msgspec.json.format(msgspec.json.encode(result), indent=2)
    path.write_bytes(text + b"\n")


def read_json(path: Path) -> PeerResult:
    return msgspec.json.decode(path.read_bytes(), type=PeerResult)
