"""What an experiment is: a question with its rule, and a way to get the figures.

An experiment knows no language and judges nothing. It hands back figures by name; ``running``
applies the rule to them. The names of experiment, figures, groups, notes and samples are keys of
the texts in ``localprompt/views/texts``, where the hypothesis and the method stand in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from localprompt.evidence.searching import SearchPlan
from localprompt.evidence.tuning import TuningPlan
from localprompt.records.evidence import Figure, Group, Note, Rule, Sample

if TYPE_CHECKING:
    from localprompt.evidence.lab import Lab


class Outcome(msgspec.Struct, frozen=True):
    """What an experiment measured."""

    figures: tuple[Figure, ...]
    groups: tuple[Group, ...] = ()
    notes: tuple[Note, ...] = ()
    samples: tuple[Sample, ...] = ()
    prevented: str | None = None
    """Why a part of it could not be done here; what the rule misses makes it *not shown*."""


class Experiment(Protocol):
    """One of the ten."""

    @property
    def number(self) -> int: ...

    @property
    def name(self) -> str:
        """Its key in the texts."""
        ...

    @property
    def edition(self) -> int:
        """Raised whenever the procedure changes, so that no older result is taken over."""
        ...

    @property
    def rule(self) -> Rule: ...

    @property
    def seconds(self) -> float:
        """How long it takes without its tunings, with the starter model on 2 cores."""
        ...

    @property
    def tunings(self) -> tuple[TuningPlan, ...]:
        """What it needs; experiments that need the same share it."""
        ...

    @property
    def searches(self) -> tuple[SearchPlan, ...]:
        """The searches for a better prompt that it needs; shared in the same way."""
        ...

    def inputs(self, lab: Lab) -> dict[str, str]:
        """What its figures depend on beside the model and its tunings: names and digests.

        Raises:
            LocalPromptError: an input is not here.
        """
        ...

    def run(self, lab: Lab) -> Outcome:
        """Measure.

        Raises:
            LocalPromptError: it cannot be done on this machine.
        """
        ...
