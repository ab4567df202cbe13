"""A worker process, as the bench sees it: started, asked, and explained when it dies.

See :mod:`localprompt.running.worker` for what happens at the other end and for the lines in
between.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import IO, Self

import msgspec

from localprompt.errors import WorkerError
from localprompt.measure.kernel import HOST, KernelFiles
from localprompt.processes import cause_of_death
from localprompt.records import json
from localprompt.records.cell import BenchRequest
from localprompt.records.run import Samples
from localprompt.running import worker
from localprompt.running.execute import Execution

# -P: a folder called localprompt in the working directory must not take this one's place.
WORKER_COMMAND = (sys.executable, "-P", "-m", "localprompt.running.worker")

_SECONDS_TO_LEAVE = 10.0


class Child:
    """One worker. Everything that it cannot do, dying included, is a WorkerError with the cause.

    Args:
        command: what to start.
    """

    def __init__(self, command: Sequence[str] = WORKER_COMMAND) -> None:
        self._oom_kills = _oom_kills()
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed with the child
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            # Ctrl-C is the bench's to handle: it decides what becomes of its workers.
            start_new_session=True,
        )

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
        raise _nonsense(reply)

    def run(self) -> Execution:
        """One repetition.

        Raises:
            WorkerError: it failed, or the worker died of it.
        """
        reply = self._ask(worker.Run())
        if isinstance(reply, worker.Ran):
            return Execution(json.decode(reply.record), Samples(reply.token_seconds))
        raise _nonsense(reply)

    def close(self) -> None:
        """Let it end by itself; one that does not within ten seconds is killed."""
        try:
            self._process.communicate(timeout=_SECONDS_TO_LEAVE)
        except subprocess.TimeoutExpired:
            self.kill()
        except (BrokenPipeError, ValueError):  # it is gone already
            self._process.wait()
        self._stderr.close()

    def kill(self) -> None:
        """End it now, whatever it is doing."""
        self._process.kill()
        self._process.communicate()
        self._stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        # Whoever leaves in a hurry (Ctrl-C in the middle of a repetition) does not wait for it.
        if kind is None:
            self.close()
        else:
            self.kill()

    def _ask(self, command: worker.Command) -> worker.Reply:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:  # never: both are pipes
            raise WorkerError("the worker has no pipes")
        try:
            stdin.write(msgspec.json.encode(command) + b"\n")
            stdin.flush()
        except BrokenPipeError:
            line = b""
        else:
            line = stdout.readline()
        if not line.endswith(b"\n"):
            raise WorkerError(self._cause_of_death())
        try:
            reply = msgspec.json.decode(line, type=worker.Reply)
        except msgspec.DecodeError as error:
            raise WorkerError(f"the worker answered nonsense: {line[:100]!r}") from error
        if isinstance(reply, worker.Failed):
            raise WorkerError(reply.cause)
        return reply  # type: ignore[no-any-return]

    def _cause_of_death(self) -> str:
        code = self._process.wait()
        out_of_memory = code == -signal.SIGKILL and _oom_kills() != self._oom_kills
        remark = ": the system had run out of memory" if out_of_memory else ""
        return cause_of_death(code, self._stderr, "the worker", remark)


def _nonsense(reply: worker.Reply) -> WorkerError:
    return WorkerError(f"the worker answered out of turn: {type(reply).__name__}")


def _oom_kills(kernel: KernelFiles = HOST) -> int | None:
    """How many processes the kernel has ended for want of memory since boot."""
    return kernel.amounts("proc/vmstat").get("oom_kill")
