"""Many requests over the sequences of one context.

Each request waits, then holds a sequence: its prompt goes through in chunks, then it decodes one
token a step, in the same batch as everyone else's tokens. One request alone takes exactly the
same path. The device (llama.cpp, or a double in tests) is behind :class:`Device`; this module
only decides what goes into the next batch and what comes out of it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from localprompt.engine.base import Event, Finished, GenerationRequest, Prefilled, Token
from localprompt.engine.text import TextStream


@dataclass(slots=True, frozen=True)
class Slot:
    """One token in a batch."""

    token_id: int
    position: int
    sequence: int
    wants_logits: bool


class RequestSampler(Protocol):
    def sample(self, batch_index: int) -> int: ...

    def close(self) -> None: ...


class Device(Protocol):
    """What batching needs from a context."""

    @property
    def cells(self) -> int:
        """KV cache cells, shared by all sequences."""
        ...

    @property
    def batch_tokens(self) -> int: ...

    @property
    def sequences(self) -> int: ...

    def decode(self, slots: Sequence[Slot]) -> None: ...

    def forget(self, sequence: int) -> None:
        """Empty the sequence's part of the KV cache."""
        ...

    def sampler(self, request: GenerationRequest) -> RequestSampler: ...

    def piece(self, token_id: int) -> bytes: ...

    def is_end(self, token_id: int) -> bool: ...


class _Active:
    """A request that holds a sequence."""

    __slots__ = ("generated", "index", "position", "request", "sampler", "sequence", "stream")

    def __init__(
        self, index: int, request: GenerationRequest, sequence: int, sampler: RequestSampler
    ) -> None:
        self.index = index
        self.request = request
        self.sequence = sequence
        self.sampler = sampler
        self.stream = TextStream(request.sampling.stop)
        self.position = 0
        self.generated: list[int] = []

    @property
    def decoding(self) -> bool:
        return bool(self.generated)

    @property
    def need(self) -> int:
        """Cells that the request can come to hold."""
        return len(self.request.token_ids) + self.request.sampling.max_tokens

    def take(self, room: int) -> list[Slot]:
        """The slots for the next batch, at most ``room``."""
        if self.decoding:
            return [Slot(self.generated[-1], self.position, self.sequence, True)][:room]
        prompt = self.request.token_ids
        end = min(len(prompt), self.position + room)
        return [
            Slot(prompt[at], at, self.sequence, at == len(prompt) - 1)
            for at in range(self.position, end)
        ]


def run(device: Device, requests: Sequence[GenerationRequest]) -> Iterator[Event]:
    """Answer the requests; see :meth:`localprompt.engine.base.Engine.generate`.

    Each request must fit into ``device.cells`` by itself; the caller has checked that.
    """
    waiting = deque(enumerate(requests))
    free = deque(range(device.sequences))
    active: list[_Active] = []
    try:
        while waiting or active:
            _admit(device, waiting, free, active)
            batch, owners = _fill(device, active)
            device.decode(batch)
            now = time.perf_counter()
            for member, logits_at in owners:
                if logits_at is None:
                    continue
                if not member.decoding:
                    yield Prefilled(member.index, now)
                event = _next_token(device, member, logits_at)
                finished = (
                    event if isinstance(event, Finished) else _limit(device, member, event.seconds)
                )
                if isinstance(event, Token):
                    yield event
                if finished is not None:
                    active.remove(member)
                    member.sampler.close()
                    device.forget(member.sequence)
                    free.append(member.sequence)
                    yield finished
    finally:
        for member in active:
            member.sampler.close()
            device.forget(member.sequence)


def _admit(
    device: Device,
    waiting: deque[tuple[int, GenerationRequest]],
    free: deque[int],
    active: list[_Active],
) -> None:
    """Give sequences to waiting requests while the KV cache can hold what they may need."""
    while waiting and free:
        index, request = waiting[0]
        held = sum(member.need for member in active)
        need = len(request.token_ids) + request.sampling.max_tokens
        if active and held + need > device.cells:
            return
        waiting.popleft()
        active.append(_Active(index, request, free.popleft(), device.sampler(request)))


def _fill(
    device: Device, active: list[_Active]
) -> tuple[list[Slot], list[tuple[_Active, int | None]]]:
    """The next batch, and for each member the index of its logits, if it gets any."""
    batch: list[Slot] = []
    owners: list[tuple[_Active, int | None]] = []
    # Decoding members first: they need one slot each, and must not wait behind a long prompt.
    for member in sorted(active, key=lambda member: not member.decoding):
        slots = member.take(device.batch_tokens - len(batch))
        if not slots:
            continue
        batch.extend(slots)
        member.position += len(slots)
        owners.append((member, len(batch) - 1 if slots[-1].wants_logits else None))
    return batch, owners


def _next_token(device: Device, member: _Active, logits_at: int) -> Token | Finished:
    token_id = member.sampler.sample(logits_at)
    now = time.perf_counter()
    if device.is_end(token_id):
        return Finished(member.index, now, "stop", member.stream.finish())
    member.generated.append(token_id)
    text = member.stream.feed(device.piece(token_id))
    return Token(member.index, now, token_id, text)


def _limit(device: Device, member: _Active, now: float) -> Finished | None:
    """Whether the token just generated was the last."""
    if member.stream.stopped:
        return Finished(member.index, now, "stop")
    full = member.position >= device.cells
    if full or len(member.generated) >= member.request.sampling.max_tokens:
        text = member.stream.finish()
        return Finished(member.index, now, "stop" if member.stream.stopped else "length", text)
    return None
