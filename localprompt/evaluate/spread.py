"""Requests answered by hands elsewhere: given out in portions, collected as they come.

Neighbours share most of their prompts, so a portion is a stretch of the suite, of as many cases as
its hand answers in :data:`SECONDS_AT_ONCE`; towards the end portions shrink, so that all hands end
together. Each hand has one portion that it works on and one that waits for it. A portion that comes
back without answers is tried again in halves, and by another hand where there is one, so that a
machine that fails at everything spoils nothing; after three failures its cases have failed, with
the cause, and the evaluation goes on. What went down with its hand is not the portion's fault, and
is tried more often.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Self

import msgspec

import localprompt
from localprompt.engine.base import Engine
from localprompt.errors import InputError, WorkerError
from localprompt.evaluate.executor import Answering, Asked, Replied, Took
from localprompt.evaluate.models import OpenEngine, OpenModel
from localprompt.evaluate.received import open_vocabulary
from localprompt.evaluate.requests import Prepared
from localprompt.evaluate.worker import MODULE, Answers, Ask, Given, Pace, Portion
from localprompt.models.inspect import inspect_model
from localprompt.records import json
from localprompt.records.evaluation import EvalRequest
from localprompt.records.model import ModelRecord
from localprompt.records.model_use import ModelUse
from localprompt.records.work import Done, Hand, Hands, Opening, Weights
from localprompt.sources.suite.records import EvalSuite

SECONDS_AT_ONCE = 15.0
"""Of a portion: long enough to hide what handing over costs, short enough to lose little."""
FIRST = 32
"""Cases of a hand's first portion, by which its pace is known."""
LEAST, MOST = 16, 2000
MOST_GROWTH = 4
AT_HAND = 2
"""Portions of one hand: one in work and one waiting."""
MOST_FAILURES = 3
MOST_LOSSES = 10
_PATIENCE_SECONDS = 0.5
_OWN_THREADS = ("n_threads", "n_threads_batch")


class _Given(msgspec.Struct):
    """A portion under way, or one that has to be given out again."""

    requests: list[Prepared]
    failures: int = 0
    losses: int = 0
    hand: str = ""
    failed_by: frozenset[str] = frozenset()
    """Hands that gave it back without answers."""


class _Tally(msgspec.Struct):
    """What one hand did."""

    hand: Hand
    answered: int = 0
    last_size: int = 0
    case_seconds: float | None = None
    """Of its last portion."""
    busy_seconds: float = 0.0
    load_seconds: float = 0.0
    pace: Pace | None = None

    def add(self, answers: Answers) -> None:
        count, pace = len(answers.answers), answers.pace
        self.answered += count
        self.busy_seconds += pace.busy_seconds
        self.load_seconds += pace.load_seconds
        self.pace = pace
        if count:
            self.case_seconds = pace.busy_seconds / count


class Spread:
    """An :class:`~localprompt.evaluate.executor.Executor` whose models are open elsewhere.

    Args:
        hands: who works.
        module: the child that they start.
        open_vocabulary: opens as much of a model here as it takes to make requests.
        threads: of each hand, where nobody typed another number; None: what its machine likes.
    """

    def __init__(
        self,
        hands: Hands,
        module: str = MODULE,
        open_vocabulary: OpenEngine = open_vocabulary,
        *,
        threads: int | None = None,
    ) -> None:
        self._hands = hands
        self._module = module
        self._open_vocabulary = open_vocabulary
        self._threads = threads
        self._engine: Engine | None = None

    def open(self, model: ModelRecord, request: EvalRequest) -> Answering:
        self.close()
        # A number of threads that nobody typed is this machine's, and no business of the others.
        own = {name: self._threads for name in _OWN_THREADS if name not in request.given}
        asked = EvalRequest(
            suite="",
            settings=msgspec.structs.replace(request.settings, **own),
            chat_template=request.chat_template,
            parallel=request.parallel,
            force=request.force,
        )
        self._hands.open(
            Opening(
                version=localprompt.__version__,
                module=self._module,
                weights=(Weights(model.name, model.sha256),),
                given=msgspec.Raw(json.encode(Given(model, asked))),
            )
        )
        self._engine = self._open_vocabulary(model, request)
        return _Elsewhere(model, request, self._engine, self._hands)

    def close(self) -> None:
        """Close what is open here; the hands stay."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_spreadable(suite: EvalSuite, request: EvalRequest, flag: str = "--cluster") -> None:
    """
    Args:
        flag: with which it was asked for.

    Raises:
        InputError: the cases of the suite have to be answered one after the other, or need files
            that only this machine has.
    """
    if request.settings.adapters:
        raise InputError(
            "adapters are not given to other workers",
            where="--lora",
            next_step=f"the same without {flag}",
        )
    if suite.in_turn:
        raise InputError(
            "the cases of this suite see answers of earlier ones, so they cannot be spread",
            where=suite.path,
            next_step=f"the same without {flag}",
        )


class _Elsewhere:
    """Implements :class:`~localprompt.evaluate.executor.Answering` with hands."""

    def __init__(
        self, model: ModelRecord, request: EvalRequest, engine: Engine, hands: Hands
    ) -> None:
        self.engine = engine
        self.local: OpenModel | None = None
        self._model = model
        self._request = request
        self._hands = hands
        self._tallies: dict[str, _Tally] = {}

    @property
    def most_tokens(self) -> int:
        # A vocabulary alone does not know what the model was trained on.
        known = self._request.settings.n_ctx or self.engine.facts.n_ctx_train
        return known or inspect_model(Path(self._model.path)).n_ctx_train

    @property
    def embedders(self) -> dict[str | None, Engine]:
        return {}  # a vocabulary embeds nothing

    def answers(self, prepared: Iterable[Prepared], asked: Asked) -> Iterator[Replied]:
        round_ = _Round(iter(prepared), asked.most, self._tallies)
        under_way: dict[int, _Given] = {}
        try:
            while True:
                opening = self._hands.opening()
                ready = self._hands.ready()
                names = frozenset(hand.name for hand in ready)
                for hand in sorted(ready, key=lambda hand: _given_to(hand, under_way)):
                    has = _given_to(hand, under_way)
                    for portion in round_.for_hand(hand, has, names, opening=opening):
                        asks = tuple(map(Ask.of, portion.requests))
                        line = json.encode(
                            Portion(asked.scoring, asked.template, asked.shape, asks)
                        )
                        under_way[self._hands.give(hand.name, msgspec.Raw(line))] = portion
                if not under_way and round_.is_over():
                    return
                done = self._hands.next(_PATIENCE_SECONDS)
                if done is not None and done.ticket in under_way:
                    yield from round_.settle(under_way.pop(done.ticket), done)
        finally:
            self._hands.drop()

    def uses(self, took: Took) -> Iterable[ModelUse]:
        cached = took.cached
        for tally in self._tallies.values():
            if tally.pace is None:
                continue
            yield ModelUse(
                model=self._model.name,
                created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                parallel=tally.pace.parallel,
                answered=tally.answered,
                cached=cached,
                load_seconds=tally.load_seconds,
                wall_seconds=tally.busy_seconds,
                settings=tally.pace.settings,
                memory=tally.pace.memory,
                hand=tally.hand.name,
                machine=tally.hand.machine,
            )
            cached = 0
        self._tallies.clear()


class _Round:
    """The requests of one target: which are not given out yet, and which have to be again."""

    def __init__(self, source: Iterator[Prepared], most: int, tallies: dict[str, _Tally]) -> None:
        self._source = source
        self._left = most
        self._tallies = tallies
        self._again: deque[_Given] = deque()
        self._exhausted = False

    def is_over(self) -> bool:
        """Whether nothing is left to give out; looks for more where it is not known."""
        if not self._exhausted and not self._again:
            self._add(LEAST)
        return not self._again

    def for_hand(
        self, hand: Hand, has: int, ready: frozenset[str], *, opening: bool = False
    ) -> Iterator[_Given]:
        """Portions for a hand that has so many.

        Args:
            ready: the names of all hands that can be given work.
            opening: another is getting ready: some of a small evaluation is left to it.
        """
        tally = self._tallies.setdefault(hand.name, _Tally(hand))
        while has < (AT_HAND - 1 if opening else AT_HAND):
            portion = self._take(hand.name, ready)
            if portion is None:
                self._add(self._size(tally, len(ready) + opening))
                portion = self._take(hand.name, ready)
            if portion is None:
                return
            portion.hand = hand.name
            yield portion
            has += 1

    def _take(self, name: str, ready: frozenset[str]) -> _Given | None:
        """The first that this hand has not failed at, or that all who are there have."""
        for index, portion in enumerate(self._again):
            if name not in portion.failed_by or ready <= portion.failed_by:
                del self._again[index]
                return portion
        return None

    def settle(self, portion: _Given, done: Done) -> Iterator[Replied]:
        """What came back of a portion: answers, or another try, or a failure of its cases."""
        cause = done.cause
        if cause is None:
            answers = msgspec.json.decode(done.given, type=Answers)
            found = dict(answers.answers)
            if found.keys() == set(range(len(portion.requests))):
                self._tallies[done.hand].add(answers)
                for number, one in found.items():
                    answered = msgspec.structs.replace(one, machine=done.hand)
                    yield portion.requests[number], answered
                return
            cause = "the worker left requests without an answer"
        portion.failed_by |= {done.hand}
        portion.failures += not done.lost
        portion.losses += done.lost
        if portion.failures >= MOST_FAILURES or portion.losses >= MOST_LOSSES:
            tries = max(portion.failures, portion.losses)
            error = WorkerError(f"not answered in {tries} tries: {cause}")
            for request in portion.requests:
                yield msgspec.structs.replace(request, error=error), None
            return
        self._again.extendleft(_halves(portion) if not done.lost else [portion])

    def _add(self, size: int) -> None:
        requests = list(islice(self._source, size))
        self._exhausted = len(requests) < size
        self._left -= len(requests)
        if requests:
            self._again.append(_Given(requests))

    def _size(self, tally: _Tally, hands: int) -> int:
        """By the hand's pace, and no more than its share of half of what is left."""
        size = FIRST
        if tally.case_seconds:
            by_time = int(SECONDS_AT_ONCE / tally.case_seconds)
            size = min(by_time, MOST_GROWTH * max(FIRST, tally.last_size), MOST)
        share = math.ceil(self._left / (2 * max(hands, len(self._tallies))))
        tally.last_size = max(LEAST, min(size, share))
        return tally.last_size


def _given_to(hand: Hand, under_way: dict[int, _Given]) -> int:
    return sum(portion.hand == hand.name for portion in under_way.values())


def _halves(portion: _Given) -> Sequence[_Given]:
    """So that what fails comes to stand with fewer and fewer others."""
    middle = (len(portion.requests) + 1) // 2
    parts = (portion.requests[middle:], portion.requests[:middle])
    return [msgspec.structs.replace(portion, requests=part) for part in parts if part]
