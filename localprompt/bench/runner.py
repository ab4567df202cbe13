"""Executing a planned bench: every repetition in a worker, every repetition stored as it ends.

Two passes, because one would disturb the other:

*memory*   Each cell runs once, whole, in a fresh process. Its peak is that of this cell and
           nothing else, and its load is a cold one where the page cache could be emptied.
*timing*   Each cell has a fresh worker, which warms up and then waits. Repetitions go round: in
           each round every cell that needs one more runs one, in a new random order, so that
           whatever changes in the machine meanwhile changes for all alike. Workers that wait
           sleep. Where not all fit into memory side by side, cells are taken in groups.

Which repetitions are missing is read from what is stored, so resuming is the same as running. A
cell that fails is recorded with its cause, loses its worker and its turn, and the others go on.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Literal, Protocol

import msgspec

from localprompt.bench.child import WORKER_COMMAND, Child
from localprompt.bench.neighbours import warnings_about
from localprompt.bench.remaining import CellState, cell_states
from localprompt.errors import HistoryError, WorkerError
from localprompt.measure import memory
from localprompt.measure.conditions import read as read_conditions
from localprompt.measure.warnings import condition_warnings
from localprompt.records.bench import CellFailure, Experiment, Step
from localprompt.records.cell import BenchRequest
from localprompt.records.run import BenchPlace, RunRecord, RunWarning, Samples
from localprompt.running.execute import Execution
from localprompt.store.under_way import Notice, announced

SHARE_OF_FREE_MEMORY = 0.6
"""What the workers of a group may take together, by the peaks of the memory pass."""
_UNKNOWN_PEAK_BYTES = 1 << 62
"""A cell whose memory is not known waits beside nobody."""


class History(Protocol):
    """Where repetitions go; :class:`localprompt.store.history.History` is one."""

    def record(self, run: RunRecord, samples: Samples | None = None) -> None: ...

    def fail(self, failure: CellFailure) -> None: ...


OnStep = Callable[[Step], None]


def run_bench(
    experiment: Experiment,
    history: History,
    *,
    runs: Iterable[RunRecord] = (),
    command: Sequence[str] = WORKER_COMMAND,
    on_step: OnStep = lambda _: None,
) -> None:
    """Run what is missing of an experiment.

    Args:
        experiment: stored already.
        history: told of every repetition and every failure, at once.
        runs: those of its runs that are stored.
        command: starts a worker.
        on_step: told of everything that begins.

    Raises:
        HistoryError: a repetition could not be stored. What was stored before stays; the error
            says how much that is and how to go on.
        KeyboardInterrupt: workers are ended; what was stored stays.
    """
    with announced("bench", experiment.title, experiment.id) as notice:

        def tell(step: Step) -> None:
            notice.tell(step.cell.workload, step.done, step.expected)
            on_step(step)

        bench = _Run(experiment, history, cell_states(experiment, runs), command, tell, notice)
        try:
            bench.memory_pass()
            bench.timing_pass()
        except HistoryError as error:
            raise _stopped(error, experiment, bench.done) from error


class _Run:
    def __init__(
        self,
        experiment: Experiment,
        history: History,
        states: Sequence[CellState],
        command: Sequence[str],
        on_step: OnStep,
        notice: Notice,
    ) -> None:
        self._experiment = experiment
        self._history = history
        self._states = states
        self._command = command
        self._on_step = on_step
        self._notice = notice
        self._last = read_conditions()
        # The order has to differ from round to round, not from one resumption to the next.
        digest = hashlib.sha256(experiment.id.encode()).digest()
        self._random = random.Random(digest)  # noqa: S311

    @property
    def done(self) -> int:
        return sum(state.repetitions + state.measured for state in self._states)

    def memory_pass(self) -> None:
        for state in self._states:
            if state.measured:
                continue
            self._tell("memory", state)
            try:
                with Child(self._command) as child:
                    opened = child.open(_request(state), "memory")
                    ran = child.run()
            except WorkerError as error:
                self._fail(state, error)
            else:
                self._keep(state, ran, BenchPlace(
                    self._experiment.id, state.cell.key, 0, "memory", opened.cold
                ))  # fmt: skip

    def timing_pass(self) -> None:
        waiting = [state for state in self._states if state.wants_more]
        for group in groups(waiting):
            with ExitStack() as workers:
                self._rounds(group, workers)

    def _rounds(self, group: Sequence[CellState], workers: ExitStack) -> None:
        children: dict[str, Child] = {}
        for state in group:
            self._tell("load", state)
            try:
                child = workers.enter_context(Child(self._command))
                child.open(_request(state), "timing")
            except WorkerError as error:
                self._fail(state, error)
            else:
                children[state.cell.key] = child
        while turn := [state for state in group if state.wants_more]:
            self._random.shuffle(turn)
            for state in turn:
                self._tell("timing", state)
                try:
                    ran = children[state.cell.key].run()
                except WorkerError as error:
                    self._fail(state, error)
                    continue
                place = BenchPlace(self._experiment.id, state.cell.key, state.repetitions, "timing")
                self._keep(state, ran, place)

    def _keep(self, state: CellState, ran: Execution, place: BenchPlace) -> None:
        warnings = (*ran.record.warnings, *self._around(ran.record.warnings))
        record = msgspec.structs.replace(ran.record, kind="bench", bench=place, warnings=warnings)
        self._history.record(record, ran.samples)
        state.add(record)

    def _around(self, had: Sequence[RunWarning]) -> Iterator[RunWarning]:
        """What a worker cannot see: a machine that slept between repetitions, other benches."""
        now = read_conditions()
        codes = {warning.code for warning in had}
        for warning in condition_warnings(self._last, now):
            if warning.code == "clock_gap" and warning.code not in codes:
                yield warning
        self._last = now
        yield from warnings_about(self._notice.others())

    def _fail(self, state: CellState, error: WorkerError) -> None:
        state.failed = True
        self._tell("failed", state)
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._history.fail(CellFailure(self._experiment.id, state.cell.key, moment, error.message))

    def _tell(self, what: Literal["memory", "load", "timing", "failed"], state: CellState) -> None:
        expected = sum(one.expected + (one.measured or not one.failed) for one in self._states)
        self._on_step(Step(what, state.cell, self.done, expected))


def groups(states: Sequence[CellState]) -> Iterator[list[CellState]]:
    """Cells whose workers fit side by side into a share of the free memory; each at least alone.

    Mapped weights are shared by all workers of a model and count once.
    """
    free = memory.available().available_bytes
    room = _UNKNOWN_PEAK_BYTES if free is None else int(free * SHARE_OF_FREE_MEMORY)
    group: list[CellState] = []
    taken, mapped = 0, dict[str, int]()
    for state in states:
        path = _request(state).cell.model.path
        private = _UNKNOWN_PEAK_BYTES if state.private_bytes is None else state.private_bytes
        more = max(0, (state.mapped_bytes or 0) - mapped.get(path, 0))
        if group and taken + private + more > room:
            yield group
            group, taken, mapped = [], 0, {}
            more = state.mapped_bytes or 0
        group.append(state)
        taken += private + more
        mapped[path] = mapped.get(path, 0) + more
    if group:
        yield group


def _request(state: CellState) -> BenchRequest:
    return msgspec.convert(state.cell.request, BenchRequest)


def _stopped(error: HistoryError, experiment: Experiment, done: int) -> HistoryError:
    return HistoryError(
        f"the bench was stopped: {error.message}; {done} repetitions are stored and stay",
        where=error.where,
        expected=error.expected,
        found=error.found,
        next_step=f"free what it ran out of, then: localprompt bench --resume {experiment.id}",
    )
