"""A request → an evaluation that is begun, or one that goes on where it was cut off."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import msgspec

from localprompt import doors
from localprompt.errors import InputError
from localprompt.evaluate.loading import open_suite
from localprompt.evaluate.models import Models
from localprompt.evaluate.planning import FindModel, Planned, plan_again, plan_evaluation
from localprompt.evaluate.runner import OnProgress, run_evaluation
from localprompt.evaluate.summarize import load_result
from localprompt.evaluate.thresholds import check
from localprompt.records.condition import Condition
from localprompt.records.evaluation import EvalRequest, EvalResult
from localprompt.records.model import ModelRecord
from localprompt.records.run import RequestedSettings
from localprompt.running.assemble import model_record
from localprompt.store.history import History


def begin(
    request: EvalRequest,
    store: History,
    *,
    only_failing: bool = False,
    conditions: Sequence[Condition] = (),
    find_model: FindModel = model_record,
) -> Planned:
    """Read the suite, plan its evaluation, and store the plan; see :func:`plan`."""
    planned = plan(
        request, store, only_failing=only_failing, conditions=conditions, find_model=find_model
    )
    store.begin(planned.evaluation)
    return planned


def plan(
    request: EvalRequest,
    store: History,
    *,
    only_failing: bool = False,
    conditions: Sequence[Condition] = (),
    find_model: FindModel = model_record,
) -> Planned:
    """Read the suite and plan its evaluation; nothing is stored.

    Args:
        only_failing: run only the cases that did not pass in the suite's last evaluation.
        conditions: what it will be held against; only checked.

    Raises:
        LocalPromptError: something is wrong with the suite or the models.
    """
    request = _lasting(request)
    suite = open_suite(request)
    failing = None
    if only_failing:
        last = store.latest_of(str(Path(suite.path).absolute()))
        if last is None:
            raise InputError(
                "this suite has not been evaluated yet",
                where="--filter-failing",
                next_step=f"localprompt eval {shlex.quote(request.suite)}",
            )
        failing = store.failing_ids(last)
        if not failing:
            raise InputError(
                "every case passed the last time", where="--filter-failing", found=last
            )
        request = msgspec.structs.replace(request, failing_of=last)
    planned = plan_evaluation(suite, request, failing=failing, find_model=find_model)
    check(conditions, planned.selection.of(suite.cases()))
    return planned


def resume(reference: str, store: History) -> Planned:
    """The plan of an evaluation that was cut off.

    Raises:
        UnknownNameError: there is none of that name.
        InputError: its suite has changed since, or this is another machine.
        LocalPromptError: something is wrong with the suite now.
    """
    evaluation = store.evaluation(reference)
    request = evaluation.request
    failing = store.failing_ids(request.failing_of) if request.failing_of else None
    return plan_again(evaluation, open_suite(request), failing)


def _lasting(request: EvalRequest) -> EvalRequest:
    """The request with paths that mean the same from any folder, as when it is resumed."""

    def lasting(name: str) -> str:
        return str(Path(name).absolute()) if doors.is_file(name) else name

    cases = None if request.cases is None else lasting(request.cases)
    return msgspec.structs.replace(request, suite=lasting(request.suite), cases=cases)


def evaluate_model(
    model: ModelRecord,
    suite: str,
    settings: RequestedSettings,
    store: History,
    models: Models,
    on_progress: OnProgress,
    *,
    cached: bool = True,
    force: bool = False,
) -> EvalResult:
    """Evaluate a model over a suite in every provider's place, as
    ``localprompt eval -m MODEL --scoring generate`` does.

    Args:
        models: opens the model, and is not closed here.
        cached: whether answers of earlier evaluations are taken over; False where time counts.

    Raises:
        LocalPromptError: something is wrong with the suite, or llama.cpp fails.
    """
    request = EvalRequest(
        suite=suite,
        models=(model.name,),
        scoring="generate",
        settings=settings,
        cached=cached,
        force=force,
    )

    def find(name: str) -> ModelRecord:
        return model if name == model.name else model_record(name)

    planned = begin(request, store, find_model=find)
    run_evaluation(planned, store, models, on_progress=on_progress, find_model=find)
    return load_result(planned.evaluation, store)
