"""Who answers: the seam between an evaluation and whatever executes it.

Requests go in and answers come out, in any order. The plan, the scoring and the history know
nothing of who was asked: this process (:class:`InProcess`), or hands on this and other machines
(:mod:`localprompt.evaluate.spread`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from localprompt.engine.base import Engine
from localprompt.evaluate.answering import Answered, answers
from localprompt.evaluate.floor import Work, measure_floor
from localprompt.evaluate.models import Encoder, Models, OpenModel
from localprompt.evaluate.requests import Prepared
from localprompt.evaluate.ways import Shape
from localprompt.records.evaluation import EvalRequest, Scoring
from localprompt.records.model import ModelRecord
from localprompt.records.model_use import ModelUse, TargetUse
from localprompt.records.prompt import PromptTemplate

Replied = tuple[Prepared, Answered | None]
"""A request and its answer; without one, the request says why (``error``)."""


class Took(msgspec.Struct, frozen=True):
    """What is known of a model's part of an evaluation when it is over."""

    cached: int
    """Answers that were taken over."""
    wall_seconds: float
    work: Sequence[Work]
    with_floor: bool
    by_target: tuple[TargetUse, ...]


class Asked(msgspec.Struct, frozen=True):
    """What holds for all requests of one target."""

    scoring: Scoring
    template: PromptTemplate
    shape: Shape | None
    """What they look like, by which the way through attention is chosen."""
    most: int
    """How many there are at most."""


class Answering(Encoder, Protocol):
    """A model that answers."""

    @property
    def local(self) -> OpenModel | None:
        """The model where it is open in this process."""
        ...

    def answers(self, prepared: Iterable[Prepared], asked: Asked) -> Iterator[Replied]:
        """Answer requests of one target; each is handed on as soon as it is complete.

        Args:
            prepared: read as there is room for more.
        """
        ...

    def uses(self, took: Took) -> Iterable[ModelUse]:
        """What it took since it was opened, by who worked."""
        ...


class Executor(Protocol):
    """Opens models, one after the other; the last one opened is the one that answers."""

    def open(self, model: ModelRecord, request: EvalRequest) -> Answering: ...


class InProcess:
    """Answers in this process, in one long batch."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def open(self, model: ModelRecord, request: EvalRequest) -> Answering:
        return _Here(self._models.get(model, request))


class _Here:
    """Implements :class:`Answering` with an open model."""

    def __init__(self, opened: OpenModel) -> None:
        self.local: OpenModel | None = opened
        self._opened = opened

    @property
    def engine(self) -> Engine:
        return self._opened.engine

    @property
    def most_tokens(self) -> int:
        return self._opened.most_tokens

    @property
    def embedders(self) -> dict[str | None, Engine]:
        return self._opened.embedders

    def answers(self, prepared: Iterable[Prepared], asked: Asked) -> Iterator[Replied]:
        return answers(prepared, self._opened, asked.scoring, asked.template, asked.shape)

    def uses(self, took: Took) -> Iterable[ModelUse]:
        opened = self._opened
        yield ModelUse(
            model=opened.model.name,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            parallel=opened.most_parallel,
            answered=sum(counted.answers for counted in took.work),
            cached=took.cached,
            load_seconds=opened.take_load_seconds(),
            wall_seconds=took.wall_seconds,
            settings=opened.settings(),
            memory=opened.memory(),
            floor=measure_floor(took.work, opened) if took.with_floor else None,
            by_target=took.by_target,
        )
