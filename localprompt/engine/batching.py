"""Many requests over the sequences of one context.

Each request waits, then holds a sequence: its prompt goes through in chunks, then it decodes one
token a step, in the same batch as everyone else's tokens. One request alone takes exactly the
same path. What prompts begin with in common (:mod:`localprompt.engine.prefixes`) is evaluated
once, into a sequence of its own, and each request starts with a copy of it, which shares cells.

A batch holds either prompts or what answers go on with, mostly a token each, in turns. llama.cpp
attends over the cells of all sequences in tiles of 64 tokens; a tile that holds tokens of many
sequences can skip almost none of the others' cells, one that holds a prompt skips nearly all of
them. Where each sequence has cells of its own, llama.cpp evaluates together only as many tokens of
one sequence as of its neighbour: each prompt is a batch of its own then, and answers move up into
the sequences that others have left when nobody is waiting for these.

Requests are read ahead as far as :data:`READ_AHEAD` and :data:`READ_AHEAD_TOKENS` allow, so that
what they share is found, and so that a hundred thousand of them never have to be in memory. What
one such portion and the next begin with in common stays in its sequence between them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Generic, NamedTuple, Never, TypeVar

from localprompt.engine.base import ChoiceRequest, Event, GenerationRequest, Scored
from localprompt.engine.choices import scoring_jobs
from localprompt.engine.device import Device, Job, Member, Seat, Slot
from localprompt.engine.generation import GenerationJob
from localprompt.engine.lookup import MOST_GUESSED
from localprompt.engine.prefixes import Prefix, shared_prefixes

E = TypeVar("E")

READ_AHEAD = 1024
"""Requests that are looked at together for what they share."""
READ_AHEAD_TOKENS = 262_144
"""Of their prompts; about 10 MB."""


def generate(device: Device, requests: Iterable[GenerationRequest]) -> Iterator[Event]:
    """Answer the requests; see :meth:`localprompt.engine.base.Engine.generate`.

    Each request must fit into ``device.cells`` by itself; the caller has checked that.
    """
    jobs = (GenerationJob(index, request) for index, request in enumerate(requests))
    return _run(_Schedule(device, jobs))


def score_choices(device: Device, requests: Iterable[ChoiceRequest]) -> Iterator[Scored]:
    """Score the requests; see :meth:`localprompt.engine.base.Engine.score_choices`."""
    return _run(_Schedule(device, scoring_jobs(requests, device.sequences)))


def _run(schedule: _Schedule[E]) -> Iterator[E]:
    try:
        while batches := schedule.next_turn():
            for batch in batches:
                schedule.device.decode([slot for part in batch for slot in part.slots])
                now = time.perf_counter()
                first = 0
                for member, slots in batch:
                    yield from member.absorb(slots, first, now)
                    first += len(slots)
                    if member.done:
                        schedule.release(member)
    finally:
        schedule.close()


class _Part(NamedTuple, Generic[E]):
    """What one member has in a batch."""

    member: Member[E]
    slots: Sequence[Slot]


class _Waiting(NamedTuple, Generic[E]):
    job: Job[E]
    prefix: Prefix | None


class _Prefill:
    """A shared prefix on its way into a sequence; nobody reads its logits."""

    decoding = False
    keeps = False

    def __init__(self, prefix: Prefix, sequence: int) -> None:
        self.sequences: tuple[int, ...] = (sequence,)
        self._prefix = prefix
        self._position = len(prefix.parent) if prefix.parent else 0

    @property
    def done(self) -> bool:
        return self._prefix.ready

    def take(self, room: int, outputs: int) -> Sequence[Slot]:
        ids, start = self._prefix.token_ids, self._position
        self._position = min(len(ids), start + room)
        return [Slot(ids[at], at, self.sequences, False) for at in range(start, self._position)]

    def absorb(self, taken: Sequence[Slot], first: int, now: float) -> Iterator[Never]:
        self._prefix.ready = self._position == len(self._prefix)
        return iter(())

    def close(self) -> None:
        pass


class _Schedule(Generic[E]):
    """Who holds which sequence, and what goes into the next batch."""

    def __init__(self, device: Device, jobs: Iterator[Job[E]]) -> None:
        self.device = device
        self._jobs = jobs
        self._waiting: deque[_Waiting[E]] = deque()
        self._active: dict[Member[E], _Waiting[E] | None] = {}
        self._free = list(range(device.sequences))
        """The lowest is taken first; so are those for prefixes."""
        self._spare = list(range(device.sequences, device.sequences + device.prefix_sequences))
        self._held_cells = 0
        self._prompts_last = False

    def next_turn(self) -> list[list[_Part[E]]]:
        """The batches to decode one after the other; none when everything is answered."""
        while self._admit():
            pass
        prompts = [member for member in self._active if not member.decoding]
        answers = [member for member in self._active if member.decoding]
        self._prompts_last = not answers or (bool(prompts) and not self._prompts_last)
        if self._prompts_last:
            return self._prompt_batches(prompts)
        if not self.device.kv_unified:
            if not self._waiting:
                self._close_gaps(answers)
            answers.sort(key=_sequence)
        return [self._take_answers(answers)]

    def _prompt_batches(self, prompts: Iterable[Member[E]]) -> list[list[_Part[E]]]:
        """About one batch of prompts, together or each by itself."""
        if self.device.kv_unified:
            parts = self._take(prompts)
            return [parts] if parts else []
        batches: list[list[_Part[E]]] = []
        room = self.device.batch_tokens
        for member in prompts:
            if room <= 0:
                break
            batches.append(self._take([member]))
            room -= sum(len(part.slots) for part in batches[-1])
        return batches

    def _take(self, members: Iterable[Member[E]]) -> list[_Part[E]]:
        """What fits into one batch."""
        parts: list[_Part[E]] = []
        room, outputs = self.device.batch_tokens, self.device.batch_outputs
        for member in members:
            slots = member.take(room, outputs)
            if slots:
                parts.append(_Part(member, slots))
                room -= len(slots)
                outputs -= sum(slot.wants_logits for slot in slots)
        return parts

    def _take_answers(self, answers: Sequence[Member[E]]) -> list[_Part[E]]:
        """A token of each answer, with what it forces and, while there are few, with guesses.

        Where sequences have cells of their own, an answer that has several tokens in a batch of
        many would make the others wait for a pass of its own.
        """
        together = len(answers)
        device = self.device
        if together > 1 and not device.kv_unified:
            return [_Part(answer, answer.take(1, 1)) for answer in answers]
        guesses = max(0, min(device.batch_outputs, 1 + MOST_GUESSED) - together) // together
        room = device.batch_tokens
        parts: list[_Part[E]] = []
        for at, answer in enumerate(answers, start=1):
            if room <= 0:
                break
            slots = answer.take(max(1, room - (together - at)), 1 + guesses)
            parts.append(_Part(answer, slots))
            room -= len(slots)
        return parts

    def _close_gaps(self, answers: Iterable[Member[E]]) -> None:
        """Move the last answers into the sequences that were left before them."""
        for member in sorted(answers, key=_sequence, reverse=True):
            if not self._free or self._free[0] > _sequence(member):
                return
            left, taken = _sequence(member), heappop(self._free)
            self.device.copy(left, taken)
            member.sequences = (taken,)
            self._forget((left,), self._free)

    def release(self, member: Member[E]) -> None:
        """Take back what a member holds; a prefix keeps its sequence while it is waited for."""
        entry = self._active.pop(member)
        member.close()
        if entry is None:
            return
        if member.keeps:
            for sequence in member.sequences:
                heappush(self._free, sequence)
        else:
            self._forget(member.sequences, self._free)
        self._held_cells -= _own_cells(entry)
        for prefix in entry.prefix.chain() if entry.prefix else ():
            prefix.active -= 1
            self._drop(prefix)

    def close(self) -> None:
        """Abandon everything."""
        for member in list(self._active):
            self.release(member)
        for entry in self._waiting:
            for prefix in entry.prefix.chain() if entry.prefix else ():
                if prefix.sequence is not None:
                    self._forget((prefix.sequence,), self._spare)
                    prefix.sequence = None

    def _admit(self) -> bool:
        """Let the next request, or the prefix that it needs first, become active."""
        if not self._waiting:
            self._read_ahead()
        if not self._waiting:
            return False
        entry = self._waiting[0]
        missing = [p for p in entry.prefix.chain() if not p.ready] if entry.prefix else []
        if missing:
            return self._start_prefix(missing[-1])
        if not self._has_cells(_own_cells(entry)) or len(self._free) < entry.job.branches:
            return False
        self._start(entry)
        return True

    def _start_prefix(self, prefix: Prefix) -> bool:
        if prefix.sequence is not None or not self._spare:
            return False
        if not self._has_cells(prefix.own_tokens):
            return False
        prefix.sequence = heappop(self._spare)
        if prefix.parent is not None and prefix.parent.sequence is not None:
            self.device.copy(prefix.parent.sequence, prefix.sequence)
        self._held_cells += prefix.own_tokens
        self._active[_Prefill(prefix, prefix.sequence)] = None
        return True

    def _has_cells(self, wanted: int) -> bool:
        """Whether so many are free; for what comes alone, or has a sequence's own, they are."""
        if not self._active or not self.device.kv_unified:
            return True
        return self._held_cells + wanted <= self.device.cells

    def _start(self, entry: _Waiting[E]) -> None:
        self._waiting.popleft()
        job, prefix = entry
        sequences = tuple(heappop(self._free) for _ in range(job.branches))
        if prefix is not None and prefix.sequence is not None:
            for sequence in sequences:
                self.device.copy(prefix.sequence, sequence)
        seat = Seat(sequences, len(prefix) if prefix else 0, time.perf_counter())
        self._active[job.start(self.device, seat)] = entry
        self._held_cells += _own_cells(entry)
        chain = list(prefix.chain()) if prefix else []
        for node in chain:
            node.waiting -= 1
            node.active += 1
        if chain and not self._waiting:
            self._read_ahead(prefix)  # before it is given up: it may serve those, too
        for node in chain:
            self._drop(node)

    def _drop(self, prefix: Prefix) -> None:
        """Give up what nobody waits for; its cells live on while answers use them."""
        if prefix.waiting:
            return
        if prefix.sequence is not None:
            self._forget((prefix.sequence,), self._spare)
            prefix.sequence = None
        if not prefix.active:
            self._held_cells -= prefix.own_tokens

    def _forget(self, sequences: Iterable[int], to: list[int]) -> None:
        for sequence in sequences:
            self.device.forget(sequence)
            heappush(to, sequence)

    def _read_ahead(self, held: Prefix | None = None) -> None:
        """Look at more requests together.

        Args:
            held: a prefix that those may begin with as well.
        """
        jobs: list[Job[E]] = []
        tokens = 0
        most = READ_AHEAD if self.device.prefix_sequences else 1
        while len(jobs) < most and tokens < READ_AHEAD_TOKENS:
            job = next(self._jobs, None)
            if job is None:
                break
            jobs.append(job)
            tokens += len(job.token_ids)
        if self.device.prefix_sequences:
            jobs.sort(key=lambda job: job.token_ids)
            prefixes = shared_prefixes([job.token_ids for job in jobs], held)
            self._waiting.extend(map(_Waiting, jobs, prefixes))
        else:
            self._waiting.extend(_Waiting(job, None) for job in jobs)


def _sequence(member: Member[E]) -> int:
    return member.sequences[0]


def _own_cells(entry: _Waiting[E]) -> int:
    """Cells beyond those of the shared prefix."""
    return entry.job.cells - (len(entry.prefix) if entry.prefix else 0)
