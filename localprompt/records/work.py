"""What passes between who plans and who executes, wherever that is: openings, work, replies.

A *hand* is a process that works for an evaluation or a bench: a child of this process, or a worker
of a cluster. It is opened once (:class:`Opening`), then given lines of work; each comes back as one
:class:`Done`. What the lines mean is known to those who write and read them: here they are JSON
that is passed on as it is.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from localprompt.records.run import Machine

NOTHING = msgspec.Raw(b"null")


class Weights(msgspec.Struct, frozen=True):
    """A model by what it is, not by where it lies: each machine has its own store."""

    name: str
    sha256: str | None


class Opening(msgspec.Struct, frozen=True):
    """What a hand needs before it can work."""

    version: str
    """Of localprompt: another one would understand the lines otherwise."""
    module: str
    """The child process that does the work, by its module."""
    weights: tuple[Weights, ...]
    """Looked for in the hand's own store, and checked there; never sent."""
    given: msgspec.Raw
    """What the child is opened with."""


class Open(msgspec.Struct, frozen=True, tag_field="do", tag="open"):
    """The first command to a child."""

    paths: dict[str, str]
    """Where the weights lie on this machine, by name."""
    given: msgspec.Raw


class Work(msgspec.Struct, frozen=True, tag_field="do", tag="work"):
    """A line of work for a child that is open."""

    given: msgspec.Raw


class Opened(msgspec.Struct, frozen=True, tag_field="is", tag="opened"):
    """The child is ready."""

    machine: Machine


class Worked(msgspec.Struct, frozen=True, tag_field="is", tag="worked"):
    """What became of a line."""

    given: msgspec.Raw
    unfinished: str | None = None
    """What the child is in the middle of, where only whoever began it may go on with it."""


class Hand(msgspec.Struct, frozen=True):
    """A hand that is ready to work."""

    name: str
    """What tells it from the others: no two hands are called alike."""
    machine: Machine


class Done(msgspec.Struct, frozen=True):
    """What became of work that was given to a hand."""

    ticket: int
    """Which work it was."""
    hand: str
    given: msgspec.Raw = NOTHING
    """The child's reply; nothing where there is a cause."""
    cause: str | None = None
    """Why there is no reply."""
    lost: bool = False
    """Not the work is to blame: the hand is gone."""


class Hands(Protocol):
    """Who executes. Work goes to a named hand, and comes back in any order."""

    def open(self, opening: Opening) -> None:
        """Make ready for this from now on; hands that cannot are left out and named."""
        ...

    def ready(self) -> tuple[Hand, ...]:
        """The hands that can be given work now: some may have come, some may be gone."""
        ...

    def opening(self) -> bool:
        """Whether some hand is still getting ready."""
        ...

    def give(self, hand: str, line: msgspec.Raw) -> int:
        """Give a hand work; the ticket for it."""
        ...

    def next(self, seconds: float) -> Done | None:
        """Something that came back; None: nothing did in that time.

        Raises:
            MachineError: no hand is left, or none can be reached any more.
        """
        ...

    def drop(self) -> None:
        """Forget what was given and has not come back."""
        ...
