"""One answer being generated: the prompt in chunks, then a few tokens at a time.

Most steps evaluate one token and sample the next. Two things make a step longer. What a
constraint forces (keys, punctuation, the rest of a value from a list) is appended without asking
the model, and evaluated in the batch that has to be made anyway. And where the answer copies what
was written before (:mod:`localprompt.engine.lookup`), what followed there is guessed to follow
here: the guesses go into the same batch, and each is kept if it is the token that is sampled at
its place, so the answer is the one that single steps would have given. What was guessed wrongly
is taken out of the KV cache again.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence

from localprompt.engine.base import (
    NO_SHORTCUTS,
    EndReason,
    Event,
    Finished,
    GenerationRequest,
    Prefilled,
    Shortcuts,
    Token,
)
from localprompt.engine.device import Device, Seat, Slot
from localprompt.engine.lookup import Lookup
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
        self.keeps = request.keep
        self._index = index
        self._request = request
        self._device = device
        self._seat = seat
        self._sampler = device.sampler(request)
        self._stream = TextStream(request.sampling.stop)
        self._position = seat.reused_tokens or request.held_tokens
        self._evaluated = self._position
        """So many tokens of prompt and answer are certainly in the context."""
        self._generated = 0
        self._pending: list[int] = []
        """Tokens of the answer that are not evaluated yet."""
        self._guesses: list[int] = []
        """What was put behind them in the batch that is being evaluated."""
        self._answer: list[int] = []
        self._lookup: Lookup | None = None
        self._shortcuts = NO_SHORTCUTS

    @property
    def decoding(self) -> bool:
        return self._generated > 0

    def take(self, room: int, outputs: int) -> Sequence[Slot]:
        if self._generated:
            return self._take_answer(room, outputs)
        start = self._position
        prompt = self._request.token_ids
        end = min(len(prompt), start + room)
        if end == len(prompt) and not outputs:
            end -= 1
        self._position = end
        last = len(prompt) - 1
        return [Slot(prompt[at], at, self.sequences, at == last) for at in range(start, end)]

    def absorb(self, taken: Sequence[Slot], first: int, now: float) -> Iterator[Event]:
        if not taken[-1].wants_logits:
            self._evaluated = self._position
            return
        if not self._generated:
            yield Prefilled(self._index, now, self._seat.reused_tokens, self._seat.seconds)
        guesses, right = self._guesses, 0
        at = first + len(taken) - 1 - len(guesses)
        if guesses:
            self._count(drafted=len(guesses))
        self._pending = []
        while not self.done and not self._pending:
            right += yield from self._next_tokens(at + right, guesses[right:])
        if guesses:
            self._take_back(len(guesses), right)
        self._evaluated = self._position - (len(guesses) - right if self.done else 0)

    def close(self) -> None:
        self._sampler.close()
        if self.keeps:
            ids = (*self._request.token_ids, *self._answer)
            self._device.settle(self.sequences[0], ids[: self._evaluated])

    def _take_answer(self, room: int, outputs: int) -> Sequence[Slot]:
        """What has to be evaluated next, and guesses where there is room for their logits."""
        pending, start = self._pending, self._position
        count = min(len(pending), room if outputs else min(room, len(pending) - 1))
        whole = count == len(pending)
        self._guesses = self._guess(min(room - count, outputs - 1)) if whole else []
        ids = pending[:count] + self._guesses
        self._pending = pending[count:]
        self._position += len(ids)
        first_wanted = count - 1 if whole else count
        return [
            Slot(token_id, start + at, self.sequences, at >= first_wanted)
            for at, token_id in enumerate(ids)
        ]

    def _guess(self, room: int) -> list[int]:
        """What may follow what is pending; nothing where it could not be taken back."""
        left = self._request.sampling.max_tokens - self._generated - 1
        cells = self._device.cells - self._position - len(self._pending)
        most = min(room, left, cells)
        if most <= 0 or not self._device.can_rewind:
            return []
        if self._lookup is None:
            self._lookup = Lookup([*self._request.token_ids, *self._answer])
        guesses = self._lookup.guess(most)
        return guesses[: self._sampler.fitting(guesses)] if guesses else guesses

    def _take_back(self, drafted: int, right: int) -> None:
        self._guesses = []
        if self._lookup is not None:
            self._lookup.told(drafted, right)
        if right < drafted and not self.done:
            self._position -= drafted - right
            self._device.rewind(self.sequences[0], self._position)

    def _next_tokens(self, batch_index: int, guesses: Sequence[int]) -> Generator[Event, None, int]:
        """Choose what follows; what is not evaluated of it becomes pending.

        Args:
            guesses: what is evaluated behind that place of the batch.

        Returns:
            how many of the guesses were right.
        """
        now = time.perf_counter()
        chosen = self._sampler.choose(batch_index)
        sampled = len(chosen.token_ids) - chosen.forced
        right = 0
        for at, token_id in enumerate(chosen.token_ids):
            if self._device.is_end(token_id):
                yield self._finish(now, "stop")
                return right
            self._generated += 1
            self._answer.append(token_id)
            if at == right and right < len(guesses) and token_id == guesses[right]:
                right += 1
            self._count(forced=int(at >= sampled), accepted=int(right > at))
            text = self._stream.feed(self._device.piece(token_id))
            yield Token(self._index, now, token_id, text, self._shortcuts)
            reason = self._limit()
            if reason is not None:
                yield self._finish(now, reason)
                return right
        if self._sampler.finished:
            yield self._finish(now, "stop")
            return right
        if self._lookup is not None:
            self._lookup.add(chosen.token_ids)
        self._pending = list(chosen.token_ids[right:])
        return right

    def _limit(self) -> EndReason | None:
        """Whether the token just generated was the last."""
        if self._stream.stopped:
            return "stop"
        full = len(self._request.token_ids) + self._generated > self._device.cells
        if full or self._generated >= self._request.sampling.max_tokens:
            return "length"
        return None

    def _finish(self, now: float, reason: EndReason) -> Finished:
        self.done = True
        text = self._stream.finish()
        reason = "stop" if self._stream.stopped else reason
        return Finished(self._index, now, reason, text, self._shortcuts)

    def _count(self, *, forced: int = 0, drafted: int = 0, accepted: int = 0) -> None:
        if forced or drafted or accepted:
            before = self._shortcuts
            self._shortcuts = Shortcuts(
                before.forced + forced, before.drafted + drafted, before.accepted + accepted
            )
