"""A bench on the machines of a cluster: all cells on each of them, one table, nothing pooled.

The plan of one machine becomes a plan with each cell once for every machine, labelled with its
name. What was estimated or bounded for the planning machine is left out: it is not theirs. When
something was measured is told by this machine's clock, whatever theirs says: the history is ordered
by it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

import localprompt
from localprompt.bench.remote import MODULE, Begin, Came, More
from localprompt.bench.runner import History, OnStep
from localprompt.records import json
from localprompt.records.bench import CellFailure, Experiment, PlannedCell, Step
from localprompt.records.cell import BenchRequest
from localprompt.records.ids import new_run_id
from localprompt.records.run import RunRecord, Samples
from localprompt.records.work import Done, Hand, Hands, Opening, Weights

MACHINE = "machine"
_PATIENCE_SECONDS = 0.5


def open_for_bench(experiment: Experiment, hands: Hands, module: str = MODULE) -> tuple[Hand, ...]:
    """Make the hands ready for these cells; those that are when all have said whether they are.

    Raises:
        WorkerError: none can.
    """
    models = [_request(cell).cell.model for cell in experiment.cells]
    weights = sorted({(model.name, model.sha256 or "") for model in models})
    hands.open(
        Opening(
            version=localprompt.__version__,
            module=module,
            weights=tuple(Weights(name, sha256 or None) for name, sha256 in weights),
            # Children of its own: neither another bench of the same models nor one that was broken
            # off goes on in them.
            given=msgspec.Raw(json.encode(new_run_id())),
        )
    )
    while not (ready := hands.ready()) or hands.opening():
        hands.next(_PATIENCE_SECONDS)
    return ready


def on_each(experiment: Experiment, hands: Sequence[Hand]) -> Experiment:
    """The plan with every cell once for each machine, in the order of their names."""
    hands = sorted(hands, key=lambda hand: hand.name)
    cells = tuple(
        msgspec.structs.replace(
            cell,
            key=f"{cell.key}@{hand.name}",
            labels={MACHINE: hand.name, **cell.labels},
            estimated_seconds=None,
            work=None,
            ceilings=None,
        )
        for cell in experiment.cells
        for hand in hands
    )
    machines = {hand.name: hand.machine for hand in hands}
    return msgspec.structs.replace(experiment, cells=cells, machines=machines)


def run_elsewhere(
    experiment: Experiment,
    history: History,
    hands: Hands,
    *,
    runs: Iterable[RunRecord] = (),
    own_threads: bool,
    on_step: OnStep = lambda _: None,
) -> None:
    """Carry out what is missing, on all machines at once.

    Args:
        experiment: of :func:`on_each`, stored already; its hands are ready.
        own_threads: each machine's usual number of threads, instead of the plan's.

    Raises:
        HistoryError: a repetition could not be stored; what was stored before stays.
        MachineError: the cluster is gone; what was stored stays.
    """
    runs = tuple(runs)
    under_way: dict[int, str] = {}
    steps: dict[str, Step] = {}
    try:
        for name in experiment.machines:
            own = _of(experiment, name)
            stored = tuple(run for run in runs if run.bench and run.bench.cell in _keys(own))
            begin = Begin(own, stored, own_threads)
            if name not in {hand.name for hand in hands.ready()}:
                _fail(own, f"{name} is not there", history)
                continue
            under_way[hands.give(name, _line(begin))] = name
        while under_way:
            done = hands.next(_PATIENCE_SECONDS)
            if done is None or done.ticket not in under_way:
                continue
            name = under_way.pop(done.ticket)
            came = _came(done, _of(experiment, name), history)
            if came is None:
                continue
            if came.step is not None:
                steps[name] = came.step
                on_step(_together(steps, came.step))
            if not came.over:
                under_way[hands.give(name, _line(More()))] = name
    finally:
        hands.drop()


def _came(done: Done, own: Experiment, history: History) -> Came | None:
    """What a machine has measured, stored; None where it will not go on."""
    if done.cause is not None:
        _fail(own, done.cause, history)
        return None
    came = msgspec.json.decode(done.given, type=Came)
    ahead = came.clock_seconds - time.time()
    for ran in came.runs:
        moment = _by_our_clock(ran.record.created_at, ahead)
        run = msgspec.structs.replace(ran.record, id=new_run_id(), created_at=moment)
        history.record(run, Samples(ran.token_seconds))
    for failure in came.failures:
        moment = _by_our_clock(failure.created_at, ahead)
        history.fail(msgspec.structs.replace(failure, created_at=moment))
    return came


def _by_our_clock(moment: str, ahead_seconds: float) -> str:
    """A moment of another machine, whose clock is so far ahead of this one's."""
    ours = datetime.fromisoformat(moment) - timedelta(seconds=ahead_seconds)
    return ours.isoformat(timespec="milliseconds")


def _fail(own: Experiment, cause: str, history: History) -> None:
    """Results that are complete by now are not touched by a failure."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    for cell in own.cells:
        history.fail(CellFailure(own.id, cell.key, moment, cause))


def _of(experiment: Experiment, name: str) -> Experiment:
    cells = tuple(cell for cell in experiment.cells if cell.labels.get(MACHINE) == name)
    return msgspec.structs.replace(experiment, cells=cells, machines={})


def _keys(own: Experiment) -> set[str]:
    return {cell.key for cell in own.cells}


def _together(steps: dict[str, Step], last: Step) -> Step:
    return msgspec.structs.replace(
        last,
        done=sum(step.done for step in steps.values()),
        expected=sum(step.expected for step in steps.values()),
    )


def _line(what: Begin | More) -> msgspec.Raw:
    return msgspec.Raw(json.encode(what))


def _request(cell: PlannedCell) -> BenchRequest:
    return msgspec.convert(cell.request, BenchRequest)
