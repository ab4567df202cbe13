"""Reports of evaluations, from a history that was never measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from localprompt.engine.base import Engine
from localprompt.engine.scripted import ScriptedEngine
from localprompt.evaluate.reporting import load_report
from localprompt.records.case_matrix import EvaluationReport
from localprompt.records.evaluation import CaseResult, EvalRequest, EvalTarget, Evaluation
from localprompt.records.model import ModelRecord
from localprompt.records.model_use import Floor, ModelUse
from localprompt.records.prompt import PromptTemplate
from localprompt.store.history import History
from tests.sample_evaluations import make_evaluation, make_result, make_target
from tests.sample_runs import make_run


def open_scripted(model: ModelRecord, request: EvalRequest) -> Engine:
    """Every model receives the messages joined; it is never asked."""
    return ScriptedEngine(lambda prompt: [])


def target(prompt: str, body: str, model: str = "smollm2-135m", **more: Any) -> EvalTarget:
    template = PromptTemplate(name=prompt, body=f"user:\n{body}", **more)
    return msgspec.structs.replace(make_target(prompt, model), template=template)


PLAIN = target("plain", "Is this good?\n{{ text }}\nOne word.")
CAREFUL = target("careful", "Think first.\nIs this very good?\n{{ text }}\nOne word.")


def use(model: str = "smollm2-135m") -> ModelUse:
    return ModelUse(
        model=model,
        created_at="2026-11-22T17:00:00Z",
        parallel=8,
        answered=4,
        cached=0,
        load_seconds=0.1,
        wall_seconds=10.0,
        settings=make_run().settings,
        memory=make_run().memory,
        floor=Floor(400, 3600, 200, prefill_tokens_per_second=1000, decode_tokens_per_second=200),
    )


def results(*verdicts: bool | None, target: int = 0, **more: Any) -> list[CaseResult]:
    return [make_result(n, passed, target=target, **more) for n, passed in enumerate(verdicts)]


def stored(
    store: History, targets: Sequence[EvalTarget], found: Sequence[CaseResult], **more: Any
) -> Evaluation:
    """An evaluation with these results, in the history."""
    cases = len({result.case_id for result in found})
    evaluation = msgspec.structs.replace(make_evaluation(*targets, cases=cases), **more)
    store.begin(evaluation)
    store.add(evaluation.id, found)
    for model in dict.fromkeys(one.model.name for one in targets):
        store.add_use(evaluation.id, use(model))
    return evaluation


def report(
    folder: Path,
    targets: Sequence[EvalTarget],
    found: Sequence[CaseResult],
    before: Sequence[CaseResult] | None = None,
    **more: Any,
) -> EvaluationReport:
    """The report of such an evaluation, ``before`` being the results of an earlier one."""
    with History(folder / "history.db") as store:
        earlier = None if before is None else stored(store, targets, before)
        evaluation = stored(store, targets, found, **more)
        return load_report(evaluation, store, earlier, open_engine=open_scripted)


def sample_report(folder: Path, **more: Any) -> EvaluationReport:
    """Two prompts, five cases: passed by both, by one, by the other, unscored, without answer."""
    first = results(True, True, False, None)
    second = results(True, False, True, True, target=1, answer="bad")
    lost = [make_result(4, False, target=at, error="does not fit") for at in (0, 1)]
    return report(folder, (PLAIN, CAREFUL), [*first, *second, *lost], **more)
