"""A request → an evaluation and a bench that are begun, and the choice that names both.

Everything that can be wrong with suite, models and prices is found here, before a model is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

import localprompt
from localprompt.bench.planning import check_resumable, plan_cells
from localprompt.errors import InputError
from localprompt.evaluate.loading import typical_case
from localprompt.evaluate.opening import plan
from localprompt.evaluate.opening import resume as resume_evaluation
from localprompt.evaluate.planning import FindModel, Planned, is_for
from localprompt.evaluate.runner import request_for
from localprompt.records.bench import Experiment, Repetitions
from localprompt.records.cell import BenchRequest, Cell
from localprompt.records.choice import Choice, Prices
from localprompt.records.evaluation import EvalRequest, EvalTarget
from localprompt.records.ids import new_run_id
from localprompt.records.prompt import InputSpec, Message, PromptTemplate
from localprompt.running.assemble import model_record
from localprompt.sources.suite.messages import render_case
from localprompt.sources.suite.prompts import with_affixes
from localprompt.sources.suite.records import EvalCase
from localprompt.store.history import History

REPETITIONS = Repetitions(fixed=None, least=6, most=12, target=0.05)
"""Six are the fewest of which a median has an interval."""


class Opened(msgspec.Struct, frozen=True):
    """A choice with what is needed to carry it out."""

    choice: Choice
    planned: Planned
    experiment: Experiment


def begin(
    request: EvalRequest,
    prices: Prices,
    store: History,
    *,
    repetitions: int | None = None,
    find_model: FindModel = model_record,
) -> Opened:
    """Plan and store an evaluation, a bench, and the choice between its models.

    Args:
        request: its answers are all made anew: their time counts.
        repetitions: of one answer; None: until its time is known to 5 %, or 12.

    Raises:
        InputError: fewer than two models or prompts to choose among, or a price is not one.
        LocalPromptError: something is wrong with the suite or the models; nothing was stored.
    """
    _check_prices(prices)
    anew = msgspec.structs.replace(request, cached=False)
    planned = plan(anew, store, find_model=find_model)
    evaluation = planned.evaluation
    _check_targets(evaluation.targets)
    case = _common_case(planned)
    experiment, keys = plan_cells(
        [_request(target, case, evaluation.request) for target in evaluation.targets],
        title=f"one answer to {case.id} of {evaluation.title}",
        names=[
            {"model": target.model.name, "prompt": target.prompt} for target in evaluation.targets
        ],
        repetitions=msgspec.structs.replace(REPETITIONS, fixed=repetitions),
        machine=evaluation.machine,
    )
    choice = Choice(
        id=new_run_id(),
        kind="choose",
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        localprompt_version=localprompt.__version__,
        title=evaluation.title,
        evaluation=evaluation.id,
        bench=experiment.id,
        cells=keys,
        case_id=case.id,
        prices=prices,
        machine=evaluation.machine,
    )
    store.begin(evaluation)
    store.begin(experiment)
    store.keep(choice)
    return Opened(choice, planned, experiment)


def resume(reference: str, store: History) -> Opened:
    """A choice that was cut off.

    Raises:
        UnknownNameError: there is none of that name.
        InputError: its suite has changed since, or this is another machine.
    """
    choice = store.choice(reference)
    experiment = store.bench(choice.bench)
    check_resumable(experiment)
    return Opened(choice, resume_evaluation(choice.evaluation, store), experiment)


def _check_targets(targets: Sequence[EvalTarget]) -> None:
    if len(targets) < 2:
        raise InputError(
            "there is nothing to choose among",
            expected="two models or more, or a suite with two prompts",
            found=", ".join(f"{target.prompt} on {target.model.name}" for target in targets),
            next_step="localprompt choose SUITE -m MODEL -m MODEL",
        )


def _common_case(planned: Planned) -> EvalCase:
    """The case of median length, of those that are for all targets.

    Raises:
        InputError: no case is for all targets.
    """
    targets = planned.evaluation.targets
    cases = planned.selection.of(planned.suite.cases())
    common = [case for case in cases if all(is_for(case, target) for target in targets)]
    if not common:
        raise InputError("no case is for all models and prompts", where=planned.evaluation.path)
    return typical_case(common)


def _check_prices(prices: Prices) -> None:
    for option, price in (
        ("--usd-per-kwh", prices.usd_per_kwh),
        ("--usd-per-hour", prices.usd_per_hour),
    ):
        if price is not None and not 0 < price < float("inf"):
            raise InputError(
                "a price is not an amount of money",
                where=option,
                expected="US dollars, above 0",
                found=f"{price:g}",
            )


def _request(target: EvalTarget, case: EvalCase, request: EvalRequest) -> BenchRequest:
    """One answer of the target to the case."""
    template, params = _alone(target, case, lenient=request.lenient)
    cell = Cell(
        kind="bench",
        model=target.model,
        template=template,
        params=params,
        sampling=target.sampling,
        settings=request_for(target, request).settings,
        chat_template=request.chat_template,
        lenient=request.lenient,
        force=request.force,
        profile=target.profile,
    )
    status = Path(target.model.path).stat()
    return BenchRequest(cell, 0, 0, status.st_size, status.st_mtime_ns)


def _alone(
    target: EvalTarget, case: EvalCase, *, lenient: bool
) -> tuple[PromptTemplate, dict[str, Any]]:
    """The prompt as a worker renders it. What a suite's own language made of the case is taken as
    it is, every message a value, so that nothing in it means anything."""
    template = with_affixes(target.template, case.prefix, case.suffix)
    if template.language == "jinja2":
        return template, dict(case.vars)
    messages = list(_numbered(render_case(template, case.vars, lenient=lenient)))
    plain = msgspec.structs.replace(
        template,
        language="jinja2",
        body="\n".join(f"{message.role}:\n{{{{ {name} }}}}" for name, message in messages),
        inputs=tuple(InputSpec(name, required=True) for name, _ in messages),
        examples=None,
    )
    return plain, {name: message.text for name, message in messages}


def _numbered(messages: Sequence[Message]) -> Iterator[tuple[str, Message]]:
    for number, message in enumerate(messages):
        yield f"message_{number}", message
