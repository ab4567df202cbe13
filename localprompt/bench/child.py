"""A worker process, as the bench sees it: opened with a cell, run, explained when it dies.

See :mod:`localprompt.running.worker` for what happens at the other end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from localprompt import processes
from localprompt.errors import LocalPromptError, WorkerError
from localprompt.records import json
from localprompt.records.cell import BenchRequest
from localprompt.records.run import Samples
from localprompt.running import worker
from localprompt.running.execute import Execution

WORKER_COMMAND = processes.worker_command("localprompt.running.worker")


class Child:
    """One worker. Everything that it cannot do, dying included, is a WorkerError with the cause.

    Args:
        command: what to start.
    """

    def __init__(self, command: Sequence[str] = WORKER_COMMAND) -> None:
        self._process = processes.Child[worker.Reply](command, worker.Reply, who="the worker")

    @property
    def pid(self) -> int:
        return self._process.pid

    def open(self, request: BenchRequest, phase: worker.Phase) -> worker.Opened:
        """Open the cell's model.

        Raises:
            WorkerError: it cannot be opened, or the worker died of it.
        """
        reply = self._ask(worker.Open(request, phase))
        if isinstance(reply, worker.Opened):
            return reply
        raise self._process.out_of_turn(reply)

    def run(self) -> Execution:
        """One repetition.

        Raises:
            WorkerError: it failed, or the worker died of it.
        """
        reply = self._ask(worker.Run())
        if isinstance(reply, worker.Ran):
            return Execution(json.decode(reply.record), Samples(reply.token_seconds))
        raise self._process.out_of_turn(reply)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.__exit__(*exception)

    def _ask(self, command: worker.Command) -> worker.Reply:
        try:
            return self._process.ask(command)
        except WorkerError:
            raise
        except LocalPromptError as error:
            raise WorkerError(str(error)) from error
