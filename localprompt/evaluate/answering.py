"""Requests → answers, in one stream: what is complete comes out while more goes in.

The engine reads ahead, finds what prompts share, and keeps its sequences busy. The context is
sized by the first requests; one that needs more ends the stream, and another begins with a larger
context. So does a request whose calibration is not there yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

import msgspec

from localprompt.engine.base import (
    ChoiceRequest,
    ChoiceScore,
    Finished,
    GenerationRequest,
    Prefilled,
)
from localprompt.engine.prefixes import common_tokens
from localprompt.errors import EngineError
from localprompt.evaluate.models import OpenModel
from localprompt.evaluate.requests import Prepared
from localprompt.evaluate.ways import Shape
from localprompt.records.evaluation import BatchedTiming, Scoring
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import FinishReason
from localprompt.scoring.closed import heaviest, shares, weigh

LOOKED_AT = 256
"""Requests by which a context is sized."""

Free = dict[tuple[int, ...], tuple[ChoiceScore, ...]]
"""Choices after prompts without content, by the prompt's tokens."""


class Answered(msgspec.Struct, frozen=True):
    """What the model said."""

    text: str
    finish_reason: FinishReason
    completion_tokens: int
    timing: BatchedTiming | None
    probabilities: dict[str, float] | None = None
    log_probabilities: dict[str, float] | None = None
    greedy: tuple[str, ...] | None = None
    machine: str | None = None
    """Who answered; None: this machine."""


def answers(
    prepared: Iterable[Prepared],
    opened: OpenModel,
    scoring: Scoring,
    template: PromptTemplate | None = None,
    shape: Shape | None = None,
) -> Iterator[tuple[Prepared, Answered]]:
    """Answer requests, several at once; each is handed on as soon as it is complete.

    Args:
        prepared: of one target: all are generations, or all are choices.
        scoring: how choices are made.
        template: that of the target.
        shape: what all requests of the plan look like; None: the way through attention stays.

    Raises:
        EngineError, NotEnoughMemoryError: llama.cpp fails.
    """
    stream = iter(prepared)
    free: Free = {}
    while first := list(islice(stream, LOOKED_AT)):
        opened.prepare(
            [one.cells for one in first],
            shared=_common([one.token_ids for one in first]),
            generating=scoring == "generate",
            shape=shape,
        )
        if scoring == "calibrated":
            free |= _habits(first, opened, free)
        fitting = _Fitting(chain(first, stream), opened, free)
        if scoring == "generate":
            yield from _generated(fitting, opened)
        else:
            yield from _chosen(fitting, opened, scoring, free, template)
        stream = chain(fitting.held, stream)


class _Fitting:
    """Hands requests to the engine and remembers whose they are, until one does not fit."""

    def __init__(self, prepared: Iterator[Prepared], opened: OpenModel, free: Free) -> None:
        self._prepared = prepared
        self._opened = opened
        self._free = free
        self.held: list[Prepared] = []
        self.under_way: dict[int, Prepared] = {}

    def __iter__(self) -> Iterator[Prepared]:
        for index, one in enumerate(self._prepared):
            known = one.free is None or one.free.token_ids in self._free
            if one.cells > self._opened.cells or not known:
                self.held.append(one)
                return
            self.under_way[index] = one
            yield one

    def generations(self) -> Iterator[GenerationRequest]:
        return (one.generation for one in self if one.generation is not None)

    def choices(self) -> Iterator[ChoiceRequest]:
        return (one.choices for one in self if one.choices is not None)


def _generated(fitting: _Fitting, opened: OpenModel) -> Iterator[tuple[Prepared, Answered]]:
    collected: dict[int, _Collected] = {}
    for event in opened.engine.generate(fitting.generations()):
        if isinstance(event, Prefilled):
            began = event.seconds if event.started_seconds is None else event.started_seconds
            collected[event.request] = _Collected(began)
            continue
        # An answer may end before anything of it was prefilled only if the engine is broken.
        one = collected[event.request]
        one.text.append(event.text)
        if event.text and one.first_text is None:
            one.first_text = event.seconds
        if isinstance(event, Finished):
            timing = one.timing(event.seconds, opened.parallel)
            text = "".join(collected.pop(event.request).text)
            answered = Answered(text, event.reason, len(one.tokens), timing)
            yield fitting.under_way.pop(event.request), answered
        else:
            one.tokens.append(event.seconds)


def _chosen(
    fitting: _Fitting,
    opened: OpenModel,
    scoring: Scoring,
    free: Free,
    template: PromptTemplate | None,
) -> Iterator[tuple[Prepared, Answered]]:
    for scored in opened.engine.score_choices(fitting.choices()):
        prepared = fitting.under_way.pop(scored.request)
        habits = None if prepared.free is None else free[prepared.free.token_ids]
        text, probabilities = choose(scored.scores, scoring, habits, template)
        began = scored.started_seconds
        taken = None if began is None else scored.seconds - began
        timing = BatchedTiming(taken, None, taken, opened.parallel)
        logs = log_probabilities(scored.scores)
        greedy = tuple(score.text for score in scored.scores if score.greedy)
        yield prepared, Answered(text, "stop", 0, timing, probabilities, logs, greedy)


def _habits(prepared: list[Prepared], opened: OpenModel, known: Free) -> Free:
    """The choices after those prompts without content that are not known yet."""
    wanted = {one.free.token_ids: one.free for one in prepared if one.free is not None}
    requests = [request for ids, request in wanted.items() if ids not in known]
    if not requests:
        return {}
    opened.prepare([_cells(request) for request in requests], generating=False)
    found = {s.request: s.scores for s in opened.engine.score_choices(requests)}
    if len(found) != len(requests):
        raise EngineError("the engine left a request without an answer")
    return {request.token_ids: found[index] for index, request in enumerate(requests)}


def _common(prompts: list[tuple[int, ...]]) -> int:
    """How many tokens all of them begin with."""
    return common_tokens(min(prompts), max(prompts))


def _cells(request: ChoiceRequest) -> int:
    return len(request.token_ids) + sum(len(choice.token_ids) for choice in request.choices)


class _Collected:
    """What has come of one request."""

    __slots__ = ("_began", "first_text", "text", "tokens")

    def __init__(self, began: float) -> None:
        self._began = began
        self.text: list[str] = []
        self.tokens: list[float] = []
        self.first_text: float | None = None

    def timing(self, ended: float, parallel: int) -> BatchedTiming:
        several = len(self.tokens) > 1
        return BatchedTiming(
            ttft_seconds=None if self.first_text is None else self.first_text - self._began,
            decode_seconds=self.tokens[-1] - self.tokens[0] if several else None,
            total_seconds=ended - self._began,
            parallel=parallel,
        )


def choose(
    scores: Sequence[ChoiceScore],
    scoring: Scoring,
    free: Sequence[ChoiceScore] | None = None,
    template: PromptTemplate | None = None,
) -> tuple[str, dict[str, float]]:
    """The answer, and how probable each is among the choices.

    Args:
        scores: of each choice.
        free: the same choices after the prompt without content, for ``calibrated``.
        template: whose own way of weighing counts where the scoring is ``raw``.
    """
    logs = log_probabilities(scores)
    bias: Mapping[str, float] = {}
    if scoring == "calibrated" and free is not None:
        bias = {habit.text: -habit.log_probability for habit in free}
    elif scoring == "raw" and template is not None:
        bias = template.bias
    own = scoring == "raw" and template is not None and template.per_byte
    weights = weigh(logs, per_byte=scoring == "normalized" or own, bias=bias)
    return heaviest(weights), shares(weights)


def log_probabilities(scores: Sequence[ChoiceScore]) -> dict[str, float]:
    """By the choice's text."""
    return {score.text: score.log_probability for score in scores}
