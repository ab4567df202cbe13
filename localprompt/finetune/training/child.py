"""The training process, as seen from outside: asked, followed, stopped, explained when it dies.

See :mod:`localprompt.finetune.training.worker` for the other end and for the lines in between.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Self

import msgspec

from localprompt.errors import WorkerError
from localprompt.finetune.training import worker
from localprompt.processes import cause_of_death

# -P: a folder called localprompt in the working directory must not take this one's place.
WORKER_COMMAND = (sys.executable, "-P", "-m", "localprompt.finetune.training.worker")


class Child:
    """One training. A context manager: leaving it early ends the process at once.

    Args:
        job: what to train.
        command: what to start.
    """

    def __init__(self, job: worker.Job, command: Sequence[str] = WORKER_COMMAND) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed with the child
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            # Ctrl-C is for us to handle: the child is to save what it has reached.
            start_new_session=True,
        )
        self._send(msgspec.json.encode(job) + b"\n")

    def replies(self) -> Iterator[worker.Reply]:
        """What it says, the last being :class:`localprompt.finetune.training.worker.Ended`.

        Raises:
            WorkerError: it failed or died; with the cause.
        """
        while True:
            line = self._process.stdout.readline() if self._process.stdout else b""
            if not line.endswith(b"\n"):
                raise _failed(self._cause_of_death())
            reply = msgspec.json.decode(line, type=worker.Reply)
            if isinstance(reply, worker.Failed):
                raise _failed(reply.cause)
            yield reply
            if isinstance(reply, worker.Ended):
                return

    def stop(self) -> None:
        """Ask it to end after its step, with what it has reached saved."""
        self._send(b"stop\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Either it is done, and ending by itself, or nobody wants what it does any more.
        self._process.kill()
        self._process.communicate()
        self._stderr.close()

    def _send(self, line: bytes) -> None:
        if self._process.stdin is None:  # never: it is a pipe
            return
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it is dead; reading its answer finds out why

    def _cause_of_death(self) -> str:
        code = self._process.wait()
        remark = ", as the system does where memory runs out" if code == -signal.SIGKILL else ""
        return cause_of_death(code, self._stderr, remark=remark)


def _failed(cause: str) -> WorkerError:
    return WorkerError("the training did not come to its end", found=cause)
