"""What ``cluster check`` finds out: who is there, what each machine has, and whether they agree."""

from __future__ import annotations

import msgspec

from localprompt.records.run import Machine


class MachineFacts(msgspec.Struct, frozen=True):
    """What a machine of a cluster says of itself."""

    machine: Machine
    available_bytes: int | None
    """Memory that is free now, within the container's limit."""
    sha256s: tuple[str, ...]
    """Of the weights in its store, by their cards."""
    clock_seconds: float
    """Its time of day, since 1970."""


class CheckedMachine(msgspec.Struct, frozen=True):
    """A machine of the cluster."""

    name: str
    facts: MachineFacts | None
    """None: it cannot be asked."""
    problem: str | None
    """Why not."""
    clock_off_seconds: float | None = None
    """Its clock less this machine's, to half the time that the question took."""


class CheckedModel(msgspec.Struct, frozen=True):
    """A model of this machine, and how it stands with it on the others."""

    name: str
    sha256: str | None
    predicted_peak_bytes: int | None
    """Estimated; None where the model's shape is not understood."""
    fetch: str
    """The command that brings it to a machine."""


class Agreement(msgspec.Struct, frozen=True):
    """The same prompts, answered greedily on each machine."""

    model: str
    prompts: int
    differing: dict[str, int]
    """How many answers are not the first machine's, by machine; 0 for the first."""
    problems: dict[str, str]
    """Why a machine did not answer."""


class ClusterCheck(msgspec.Struct, frozen=True):
    """All of it."""

    machines: tuple[CheckedMachine, ...]
    models: tuple[CheckedModel, ...]
    agreements: tuple[Agreement, ...]
