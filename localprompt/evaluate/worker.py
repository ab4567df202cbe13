"""A child process that answers: portions of requests in, their answers out.

It is opened with a model and told how (:class:`Given`); a portion is answered as the evaluation's
own process would do it, in one batch, and comes back whole. What cannot be answered ends the child
with the reason; whoever asked decides who tries again. See :mod:`localprompt.processes`.
"""

from __future__ import annotations

import sys
import time

import msgspec

from localprompt.engine.base import ChoiceRequest, GenerationRequest
from localprompt.errors import EngineError
from localprompt.evaluate.answering import Answered, answers
from localprompt.evaluate.models import OpenEngine, OpenModel, open_llama
from localprompt.evaluate.requests import Prepared
from localprompt.evaluate.ways import Shape
from localprompt.measure import machine
from localprompt.processes import Parent, serve
from localprompt.records import json
from localprompt.records.evaluation import EvalRequest, Scoring
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import Memory, Settings
from localprompt.records.work import Open, Opened, Work, Worked
from localprompt.running.assemble import with_threads
from localprompt.sources.suite.records import EvalCase

MODULE = "localprompt.evaluate.worker"


class Given(msgspec.Struct, frozen=True):
    """What it is opened with."""

    model: ModelRecord
    """Its path is that of whoever asks, and is replaced by this machine's."""
    request: EvalRequest


class Ask(msgspec.Struct, frozen=True):
    """One request: one of the two kinds."""

    cells: int
    generation: GenerationRequest | None = None
    choices: ChoiceRequest | None = None
    free: ChoiceRequest | None = None

    @classmethod
    def of(cls, prepared: Prepared) -> Ask:
        return cls(prepared.cells, prepared.generation, prepared.choices, prepared.free)


class Portion(msgspec.Struct, frozen=True):
    """Requests of one target."""

    scoring: Scoring
    template: PromptTemplate
    shape: Shape | None
    """Of the whole plan, whatever part of it this is."""
    asks: tuple[Ask, ...]


class Pace(msgspec.Struct, frozen=True):
    """What the child took so far."""

    parallel: int
    load_seconds: float
    """Since it was last told."""
    busy_seconds: float
    """For this portion, loading left out."""
    settings: Settings | None
    memory: Memory


class Answers(msgspec.Struct, frozen=True):
    """What became of a portion: each answer with the number of its request."""

    answers: tuple[tuple[int, Answered], ...]
    pace: Pace


def main(open_engine: OpenEngine = open_llama) -> int:
    """Serve the parent on stdin and stdout; returns the exit code."""
    return serve(Open | Work, lambda parent: answer(parent, open_engine))


def answer(parent: Parent[Open | Work], open_engine: OpenEngine) -> None:
    """Answer until the parent wants no more."""
    opened: OpenModel | None = None
    for command in parent.commands():
        if isinstance(command, Open):
            opened = _opened(command, open_engine)
            engine = opened.engine
            here = machine.describe(
                llama_cpp_build=engine.build, cpu_features=tuple(engine.cpu_features)
            )
            parent.say(Opened(here))
        elif opened is None:
            raise EngineError("answers were asked for before a model was opened")
        else:
            portion = msgspec.json.decode(command.given, type=Portion)
            parent.say(Worked(msgspec.Raw(json.encode(_answered(portion, opened)))))


def _opened(command: Open, open_engine: OpenEngine) -> OpenModel:
    given = msgspec.json.decode(command.given, type=Given)
    model, request = given.model, given.request
    return OpenModel(
        msgspec.structs.replace(model, path=command.paths[model.name]),
        msgspec.structs.replace(request, settings=with_threads(request.settings)),
        open_engine,
    )


def _answered(portion: Portion, opened: OpenModel) -> Answers:
    started = time.perf_counter()
    requests = [_prepared(number, ask) for number, ask in enumerate(portion.asks)]
    found = tuple(
        (prepared.case.index, answered)
        for prepared, answered in answers(
            requests, opened, portion.scoring, portion.template, portion.shape
        )
    )
    took, load = time.perf_counter() - started, opened.take_load_seconds()
    pace = Pace(opened.most_parallel, load, took, opened.settings(), opened.memory())
    return Answers(found, pace)


def _prepared(number: int, ask: Ask) -> Prepared:
    """The request as the answering knows it; its case has stayed with whoever asks."""
    request = ask.generation or ask.choices
    if request is None:
        raise EngineError("a request that asks for nothing")
    return Prepared(
        EvalCase(id="", index=number, vars={}, where=""),
        repetition=0,
        token_ids=request.token_ids,
        generation=ask.generation,
        choices=ask.choices,
        free=ask.free,
        cells=ask.cells,
    )


if __name__ == "__main__":
    sys.exit(main())
