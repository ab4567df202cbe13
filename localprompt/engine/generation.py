"""One answer being generated: the prompt in chunks, then a token at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from localprompt.engine.base import EndReason, Event, Finished, GenerationRequest, Prefilled, Token
from localprompt.engine.device import Device, Seat, Slot
from localprompt.engine.text import TextStream


class GenerationJob:
    """Implements :class:`localprompt.engine.device.Job`."""

    branches = 1

    def __init__(self, index: int, request: GenerationRequest) -> None:
        self.index = index
        self.request = request
        self.token_ids = request.token_ids
        self.cells = len(request.token_ids) + request.sampling.max_tokens

    def start(self, device: Device, seat: Seat) -> Generation:
        return Generation(self.index, self.request, device, seat)


class Generation:
    """One answer; implements :class:`localprompt.engine.device.Member`."""

    def __init__(self, index: int, request: GenerationRequest, device: Device, seat: Seat) -> None:
        self.sequences = seat.sequences
        self.done = False
        self._index = index
        self._request = request
        self._device = device
        self._seat = seat
        self._sampler = device.sampler(request)
        self._stream = TextStream(request.sampling.stop)
        self._position = seat.reused_tokens or request.held_tokens
        self._generated = 0
        self._last = -1

    @property
    def decoding(self) -> bool:
        return self._generated > 0

    def take(self, room: int, outputs: int) -> Sequence[Slot]:
        start = self._position
        if self._generated:
            if not (room and outputs):
                return ()
            self._position += 1
            return (Slot(self._last, start, self.sequences, True),)
        prompt = self._request.token_ids
        end = min(len(prompt), start + room)
        if end == len(prompt) and not outputs:
            end -= 1
        self._position = end
        last = len(prompt) - 1
        return [Slot(prompt[at], at, self.sequences, at == last) for at in range(start, end)]

    def absorb(self, taken: Sequence[Slot], first: int, now: float) -> Iterator[Event]:
        if not taken[-1].wants_logits:
            return
        if not self._generated:
            yield Prefilled(self._index, now, self._seat.reused_tokens, self._seat.seconds)
        yield from self._next_token(first + len(taken) - 1)

    def _next_token(self, batch_index: int) -> Iterator[Event]:
        token_id = self._sampler.sample(batch_index)
        now = time.perf_counter()
        if self._device.is_end(token_id):
            self.done = True
            yield Finished(self._index, now, "stop", self._stream.finish())
            return
        self._last = token_id
        self._generated += 1
        text = self._stream.feed(self._device.piece(token_id))
        yield Token(self._index, now, token_id, text)
        finished = self._limit(now)
        if finished is not None:
            self.done = True
            yield finished

    def _limit(self, now: float) -> Finished | None:
        """Whether the token just generated was the last."""
        if self._stream.stopped:
            return Finished(self._index, now, "stop")
        full = self._position >= self._device.cells
        if full or self._generated >= self._request.sampling.max_tokens:
            text = self._stream.finish()
            reason: EndReason = "stop" if self._stream.stopped else "length"
            return Finished(self._index, now, reason, text)
        return None

    def close(self) -> None:
        self._sampler.close()
