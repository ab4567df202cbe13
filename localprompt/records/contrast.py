"""The frozen records of a contrast: prompting beside fine-tuning, quantity by quantity."""

from __future__ import annotations

from typing import Literal

import msgspec

from localprompt.records.evidence import Figure
from localprompt.records.model import AdapterUse, ModelRecord
from localprompt.records.run import Machine

Kind = Literal["prompting", "tuning"]
Winner = Literal["prompting", "tuning", "undecided"]


class Way(msgspec.Struct, frozen=True):
    """One way to get a job done: a prompt, or a training."""

    kind: Kind
    name: str
    """A prompt's label, or a method of training."""
    model: str
    figures: tuple[Figure, ...]
    """By name: what it takes. What is not known is not there."""

    def figure(self, name: str) -> Figure | None:
        return next((figure for figure in self.figures if figure.name == name), None)


class Judged(msgspec.Struct, frozen=True):
    """One quantity: who is better at it on this model."""

    quantity: str
    winner: Winner
    prompting: Figure
    tuning: Figure


class Curve(msgspec.Struct, frozen=True):
    """CPU time that has been spent after so many answers."""

    name: str
    start_seconds: float
    """Before the first answer."""
    per_answer_seconds: float


class ContrastReport(msgspec.Struct, frozen=True):
    """What ``contrast`` measured and estimated."""

    created_at: str
    localprompt_version: str
    model: ModelRecord
    machine: Machine
    suite: str
    cases: int
    ways: tuple[Way, ...]
    judged: tuple[Judged, ...]
    """The prompt with the best score beside the tuning of the same model; empty without one."""
    curves: tuple[Curve, ...] = ()
    """That prompt and that tuning; empty where it is not known what the tuning took."""
    compared: tuple[str, ...] = ()
    """Names of the two ways that are judged; empty where there is one side, and in results of
    before this was told."""
    break_even: Figure | None = None
    """Answers after which the tuning has taken less CPU time; None: that was not shown, or there
    is no tuning."""
    prevented: str | None = None
    """Why nothing was tuned here."""
    adapters: tuple[AdapterUse, ...] = ()
    """Made elsewhere, and the tuned side: what their training took is not known."""
    answers_for_an_hour: Figure | None = None
    """Answers with them that make up for each hour of CPU time that their training took; None:
    that was not shown, or the training was seen."""
    unsearched: str | None = None
    """Why no prompt was searched for, where the tuned side is an adapter."""
