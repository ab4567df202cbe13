"""The frozen records of what a model took for its part of an evaluation: time, energy, memory.

A model is opened once and answers for all its targets (a target is one model with one prompt), so
loading and memory are of the model, and what the answers took is told for each target.
"""

from __future__ import annotations

import msgspec

from localprompt.records.run import Machine, Memory, Settings


class Floor(msgspec.Struct, frozen=True):
    """The least time that the work of a model could have taken on this machine: an estimate.

    Tokens that had to be evaluated, over rates measured in the same process right afterwards.
    """

    shared_tokens: int
    """The longest prefix that all prompts of a target share, once per target."""
    own_tokens: int
    """The rest of each prompt, beyond what it has in common with one before it."""
    generated_tokens: int
    prefill_tokens_per_second: float
    decode_tokens_per_second: float | None
    """Of as many sequences at once as the evaluation used; None where nothing was generated."""

    @property
    def seconds(self) -> float:
        prefill = (self.shared_tokens + self.own_tokens) / self.prefill_tokens_per_second
        if self.decode_tokens_per_second is None:
            return prefill
        return prefill + self.generated_tokens / self.decode_tokens_per_second


class TargetUse(msgspec.Struct, frozen=True):
    """What one target's answers took: rendering, answering and scoring, load excluded."""

    target: int
    """Index into the evaluation's targets."""
    answered: int
    """Answers that were made, those taken over left out."""
    wall_seconds: float
    cpu_seconds: float
    """Of all threads of this process."""
    energy_joules: float | None
    """Of the whole machine's packages and memory meanwhile, as RAPL counts it; None: no counter
    can be read here."""


class ModelUse(msgspec.Struct, frozen=True):
    """One model, opened once for its part of an evaluation."""

    model: str
    created_at: str
    parallel: int
    answered: int
    cached: int
    load_seconds: float
    wall_seconds: float
    """First request → last result stored; scoring included, load excluded."""
    settings: Settings | None
    """None: every answer was taken over, and no context was opened."""
    memory: Memory
    """Of this process; the peak since this model was opened, where the system can tell."""
    floor: Floor | None = None
    """None: too few answers, nothing to measure it by, or a model also judged."""
    by_target: tuple[TargetUse, ...] = ()
    """Empty where a model also judged (the times would be of both) or others worked."""
    hand: str | None = None
    """Who worked, where that was not the process of the evaluation."""
    machine: Machine | None = None
    """That hand's; None: the evaluation's own."""
