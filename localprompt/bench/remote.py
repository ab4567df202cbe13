"""A child process that benches: cells in, their repetitions out as they come.

On each machine of a cluster one of these carries out the whole bench, in both passes and with
children of its own, exactly as ``localprompt bench`` would there. Whoever asks gets what has come
since they last asked, so that nothing measured waits long to be stored.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Sequence

import msgspec

from localprompt.bench.child import WORKER_COMMAND
from localprompt.bench.runner import run_bench
from localprompt.errors import LocalPromptError, WorkerError
from localprompt.measure import machine
from localprompt.processes import Parent, serve
from localprompt.records import json
from localprompt.records.bench import CellFailure, Experiment, PlannedCell, Step
from localprompt.records.cell import BenchRequest
from localprompt.records.run import Machine, RunRecord, Samples
from localprompt.records.work import Open, Opened, Work, Worked
from localprompt.running.assemble import with_threads

MODULE = "localprompt.bench.remote"
_SECONDS_AT_MOST = 2.0
"""Between one reply and the next, while a repetition takes longer."""


class Begin(msgspec.Struct, frozen=True, tag_field="do", tag="begin"):
    """Carry out what is missing."""

    experiment: Experiment
    """With the cells that are this machine's."""
    runs: tuple[RunRecord, ...]
    """Those of them that are stored."""
    own_threads: bool
    """Whether cells run with as many threads as suit this machine."""


class More(msgspec.Struct, frozen=True, tag_field="do", tag="more"):
    """What has come since?"""


class Ran(msgspec.Struct, frozen=True):
    """A repetition."""

    record: RunRecord
    token_seconds: tuple[float, ...]


class Came(msgspec.Struct, frozen=True):
    """What has come since somebody asked."""

    runs: tuple[Ran, ...]
    failures: tuple[CellFailure, ...]
    step: Step | None
    """The last one."""
    over: bool
    clock_seconds: float
    """The machine's time of day as it says this, since 1970."""


class _Heard:
    """Collects what the bench says, for whoever asks; implements the bench's ``History``."""

    def __init__(self) -> None:
        self._said: queue.SimpleQueue[Ran | CellFailure | Step | LocalPromptError | None] = (
            queue.SimpleQueue()
        )
        self._over = False

    def record(self, run: RunRecord, samples: Samples | None = None) -> None:
        self._said.put(Ran(run, () if samples is None else samples.token_seconds))

    def fail(self, failure: CellFailure) -> None:
        self._said.put(failure)

    def step(self, step: Step) -> None:
        self._said.put(step)

    def end(self, error: LocalPromptError | None) -> None:
        if error is not None:
            self._said.put(error)
        self._said.put(None)

    def take(self) -> Came:
        """Everything that is there; waits a little for the first.

        Raises:
            LocalPromptError: the bench ended with it.
        """
        runs: list[Ran] = []
        failures: list[CellFailure] = []
        step = None
        try:
            one = self._said.get(timeout=_SECONDS_AT_MOST)
            while True:
                match one:
                    case Ran():
                        runs.append(one)
                    case CellFailure():
                        failures.append(one)
                    case Step():
                        step = one
                    case None:
                        self._over = True
                    case _:
                        raise one
                one = self._said.get_nowait()
        except queue.Empty:
            pass
        return Came(tuple(runs), tuple(failures), step, self._over, time.time())


def main(command: Sequence[str] = WORKER_COMMAND) -> int:
    """Serve the parent on stdin and stdout.

    Args:
        command: starts a worker of the bench.
    """
    return serve(Open | Work, lambda parent: answer(parent, command))


def answer(parent: Parent[Open | Work], command: Sequence[str]) -> None:
    """Bench until the parent wants no more."""
    paths: dict[str, str] = {}
    heard: _Heard | None = None
    for asked in parent.commands():
        if isinstance(asked, Open):
            paths = asked.paths
            parent.say(Opened(_machine()))
            continue
        what = msgspec.json.decode(asked.given, type=Begin | More)
        if isinstance(what, Begin):
            heard = _begun(what, paths, command)
        if heard is None:
            raise WorkerError("results were asked for before a bench had begun")
        came = heard.take()
        unfinished = None if came.over else "a bench"
        parent.say(Worked(msgspec.Raw(json.encode(came)), unfinished))


def _begun(what: Begin, paths: dict[str, str], command: Sequence[str]) -> _Heard:
    """The bench goes on in a thread; its workers live no longer than that."""
    heard = _Heard()
    cells = tuple(_here(cell, paths, own=what.own_threads) for cell in what.experiment.cells)
    experiment = msgspec.structs.replace(what.experiment, cells=cells)

    def bench() -> None:
        error: LocalPromptError | None = WorkerError("the bench ended by a mistake of its program")
        try:
            run_bench(experiment, heard, runs=what.runs, command=command, on_step=heard.step)
            error = None
        except LocalPromptError as found:
            error = found
        finally:  # whoever waits for the end hears of it in any case
            heard.end(error)

    threading.Thread(target=bench, daemon=True).start()
    return heard


def _here(cell: PlannedCell, paths: dict[str, str], *, own: bool) -> PlannedCell:
    """The cell with this machine's file and threads."""
    request = msgspec.convert(cell.request, BenchRequest)
    one = request.cell
    settings = one.settings
    if own:
        settings = msgspec.structs.replace(settings, n_threads=None, n_threads_batch=None)
    model = msgspec.structs.replace(one.model, path=paths[one.model.name])
    # The file was verified when this process was opened; its time is another machine's business.
    request = msgspec.structs.replace(
        request,
        cell=msgspec.structs.replace(one, model=model, settings=with_threads(settings)),
        size_bytes=None,
        mtime_ns=None,
    )
    return msgspec.structs.replace(cell, request=msgspec.to_builtins(request))


def _machine() -> Machine:
    from localprompt.engine.llama.library import build, cpu_features

    return machine.describe(llama_cpp_build=build(), cpu_features=cpu_features())


if __name__ == "__main__":
    sys.exit(main())
