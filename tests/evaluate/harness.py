"""Evaluations with an engine that says what it is told to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from localprompt.engine.base import Engine
from localprompt.engine.scripted import ScriptedEngine
from localprompt.errors import UnknownNameError
from localprompt.evaluate.models import Models
from localprompt.evaluate.opening import begin, resume
from localprompt.evaluate.planning import Planned
from localprompt.evaluate.runner import EvalProgress, run_evaluation
from localprompt.evaluate.shards import write_part
from localprompt.evaluate.summarize import load_result
from localprompt.records.evaluation import CaseResult, EvalRequest, EvalResult
from localprompt.records.model import ModelRecord
from localprompt.store.history import History
from tests.sample_runs import make_run

Say = Callable[[str], str]
"""The rendered prompt → the whole answer."""

MODELS = ("small", "large")


def find_model(name: str) -> ModelRecord:
    if name not in (*MODELS, "smollm2-135m"):
        raise UnknownNameError(f"no model is called {name!r}")
    digest = hashlib.sha256(name.encode()).hexdigest()
    return msgspec.structs.replace(make_run(model=name).model, sha256=digest)


class Lab:
    """A folder with suites, a history, and a scripted engine."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder = folder
        self.say = say
        self.asked: list[str] = []
        """Every prompt that the engine was asked, in order."""
        self.n_ctx_train = 2048
        self.log_probability: Callable[[str, str], float] = lambda before, word: -1.0
        """What stands before a word, and the word → how probable it is."""
        self.store = History(folder / "history.db")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def open_engine(self, model: ModelRecord, request: EvalRequest) -> Engine:
        def answer(prompt: str) -> Sequence[bytes]:
            self.asked.append(prompt)
            return [word.encode() for word in self.say(prompt).partition(" ") if word]

        return ScriptedEngine(
            answer, n_ctx_train=self.n_ctx_train, log_probability=self.log_probability
        )

    def plan(self, suite: str, *, only_failing: bool = False, **request: Any) -> Planned:
        wanted = EvalRequest(suite=str(self.folder / suite), **request)
        return begin(wanted, self.store, only_failing=only_failing, find_model=find_model)

    def carry_out(
        self, planned: Planned, on_progress: Callable[[EvalProgress], None] = lambda _: None
    ) -> EvalResult:
        with Models(self.open_engine) as models:
            run_evaluation(
                planned, self.store, models, on_progress=on_progress, find_model=find_model
            )
        return load_result(planned.evaluation, self.store)

    def evaluate(self, suite: str, **request: Any) -> EvalResult:
        return self.carry_out(self.plan(suite, **request))

    def resume(self, reference: str) -> EvalResult:
        return self.carry_out(resume(reference, self.store))

    def results(self, result: EvalResult) -> list[CaseResult]:
        return list(self.store.results(result.evaluation.id))


def write_part_of(
    lab: Lab,
    number: int,
    of: int,
    suite: str = "tones.yaml",
    name: str | None = None,
    **request: Any,
) -> Path:
    """A part of an evaluation, made and written into a file."""
    result = lab.evaluate(suite, shard=(number, of), cached=False, **request)
    path = lab.folder / (name or f"part{number}.jsonl")
    with path.open("w", encoding="utf-8", newline="") as stream:
        write_part(result.evaluation, lab.store, stream)
    return path
