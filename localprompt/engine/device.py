"""What batching is made of: a device that decodes, and members that share its batches.

The device is llama.cpp, or a double in tests. A :class:`Job` is a request that waits; when its
turn comes it becomes a :class:`Member`, which holds one sequence or several, and a position.
:mod:`localprompt.engine.batching` asks members for slots, has everyone's slots decoded in one
batch, and tells each where its slots were; the member then reads logits and says what has come
of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from localprompt.engine.base import GenerationRequest

E_co = TypeVar("E_co", covariant=True)

HELD_SEQUENCE = 0
"""Where a beginning is put that a request goes on from: the first, in a context of one."""


class Slot(NamedTuple):
    """One token in a batch."""

    token_id: int
    position: int
    sequences: tuple[int, ...]
    """Those that see the token; several only for prompts whose choices branch."""
    wants_logits: bool

    @property
    def sequence(self) -> int:
        return self.sequences[0]


class Chosen(NamedTuple):
    """At least one token."""

    token_ids: Sequence[int]
    forced: int = 0
    """So many of them, the last ones, were not sampled."""


class LookedUp(NamedTuple):
    """Log-probabilities after one token."""

    values: list[float]
    """Of the tokens that were asked for."""
    best: float
    """Of the most probable token of all."""


class RequestSampler(Protocol):
    """Chooses the tokens of one answer, one after the other."""

    def choose(self, batch_index: int) -> Chosen:
        """The next token, from the logits after the slot at that index of the last batch, and
        what has to follow it whatever the logits say."""
        ...

    def fitting(self, token_ids: Sequence[int]) -> int:
        """How many of these could be what is chosen next."""
        ...

    @property
    def finished(self) -> bool:
        """Nothing may follow: the answer is complete."""
        ...

    def close(self) -> None: ...


class Device(Protocol):
    """What batching needs from a context."""

    @property
    def kv_unified(self) -> bool:
        """Whether all sequences share the cells.

        Otherwise each has cells of its own: attention looks at no others, a copy moves data, no
        token is in two sequences, and only tokens of neighbouring sequences, as many of each, are
        evaluated together.
        """
        ...

    @property
    def cells(self) -> int:
        """KV cache cells, of all sequences together or of each one."""
        ...

    @property
    def batch_tokens(self) -> int: ...

    @property
    def batch_outputs(self) -> int:
        """Tokens of a batch that may want logits."""
        ...

    @property
    def sequences(self) -> int:
        """For requests: 0, 1, …"""
        ...

    @property
    def prefix_sequences(self) -> int:
        """For shared prefixes: those that follow; 0 where nothing is to be shared."""
        ...

    def decode(self, slots: Sequence[Slot]) -> None: ...

    def copy(self, source: int, target: int) -> None:
        """Let an empty sequence begin with all that another one holds; unified cells are shared."""
        ...

    def forget(self, sequence: int) -> None:
        """Empty the sequence's part of the KV cache."""
        ...

    @property
    def can_rewind(self) -> bool:
        """Whether guesses pay and can be taken back; if not, nothing is guessed."""
        ...

    def rewind(self, sequence: int, position: int) -> None:
        """Take back all tokens of the sequence from a position on."""
        ...

    def settle(self, sequence: int, token_ids: Sequence[int]) -> None:
        """The sequence is to hold these tokens from now on; it may hold more behind them."""
        ...

    def sampler(self, request: GenerationRequest) -> RequestSampler: ...

    def log_probabilities(self, batch_index: int, token_ids: Sequence[int]) -> LookedUp:
        """Of these tokens, among the whole vocabulary, after the slot at that index."""
        ...

    def piece(self, token_id: int) -> bytes: ...

    def is_end(self, token_id: int) -> bool: ...


def evaluate_beginning(device: Device, token_ids: Sequence[int]) -> None:
    """Put the beginning of a prompt into the first sequence, which is emptied before."""
    device.forget(HELD_SEQUENCE)
    sequences = (HELD_SEQUENCE,)
    for start in range(0, len(token_ids), device.batch_tokens):
        part = token_ids[start : start + device.batch_tokens]
        device.decode([Slot(token, at, sequences, False) for at, token in enumerate(part, start)])


class Seat(NamedTuple):
    """What a request gets when its turn has come."""

    sequences: tuple[int, ...]
    reused_tokens: int
    """Of a shared prefix, in the sequences already."""
    seconds: float


class Member(Protocol[E_co]):
    """A request, or a shared prefix, that holds sequences."""

    sequences: tuple[int, ...]
    """Those that it holds now; one that decodes may be moved to another."""

    @property
    def keeps(self) -> bool:
        """Its sequence stays as it is when its turn is over."""
        ...

    @property
    def decoding(self) -> bool:
        """The prompt is evaluated, tokens follow one by one."""
        ...

    @property
    def done(self) -> bool: ...

    def take(self, room: int, outputs: int) -> Sequence[Slot]:
        """The slots for the next batch, at most so many, and so many of them with logits."""
        ...

    def absorb(self, taken: Sequence[Slot], first: int, now: float) -> Iterator[E_co]:
        """What has come of the slots; they were decoded from batch index ``first`` on."""
        ...

    def close(self) -> None: ...


class Job(Protocol[E_co]):
    """A request that waits for its turn."""

    @property
    def token_ids(self) -> tuple[int, ...]: ...

    @property
    def cells(self) -> int:
        """Those that it can come to hold."""
        ...

    @property
    def branches(self) -> int:
        """Sequences that it needs."""
        ...

    def start(self, device: Device, seat: Seat) -> Member[E_co]: ...
