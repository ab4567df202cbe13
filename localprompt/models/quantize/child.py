"""The quantizing process, as seen from outside: asked, followed, stopped, explained when it dies.

See :mod:`localprompt.models.quantize.worker` for the other end and for the lines in between.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Self

import msgspec

from localprompt.errors import EngineError
from localprompt.models.quantize import worker
from localprompt.processes import cause_of_death

# -P: a folder called localprompt in the working directory must not take this one's place.
WORKER_COMMAND = (sys.executable, "-P", "-m", "localprompt.models.quantize.worker")


class Child:
    """One quantization. A context manager: leaving it early stops the process at once.

    Args:
        request: what to make.
        command: what to start.
    """

    def __init__(self, request: worker.Request, command: Sequence[str] = WORKER_COMMAND) -> None:
        self._request = request
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  closed with the child
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            # Ctrl-C is for us to handle; leaving the context ends the child.
            start_new_session=True,
        )

    def plan(self) -> worker.Planned:
        """What would come out.

        Raises:
            EngineError: llama.cpp refuses, or died.
        """
        self._send(msgspec.json.encode(self._request) + b"\n")
        reply = self._reply()
        if isinstance(reply, worker.Planned):
            return reply
        raise self._error(f"an answer out of turn: {reply}")

    def make(self) -> Iterator[str]:
        """Do it; the name of each tensor as its turn comes. Complete when the iterator ends.

        Raises:
            EngineError: llama.cpp failed, or died.
        """
        self._send(worker.GO)
        while not isinstance(reply := self._reply(), worker.Made):
            if isinstance(reply, worker.Tensor):
                yield reply.name

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

    def _reply(self) -> worker.Reply:
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line.endswith(b"\n"):
            raise self._error(self._cause_of_death())
        try:
            reply = msgspec.json.decode(line, type=worker.Reply)
        except msgspec.DecodeError:
            raise self._error(f"an answer that is none: {line[:100]!r}") from None
        if isinstance(reply, worker.Failed):
            raise self._error(reply.cause)
        return reply  # type: ignore[no-any-return]

    def _error(self, cause: str) -> EngineError:
        return EngineError(
            "llama.cpp did not quantize the model", where=self._request.source, found=cause
        )

    def _cause_of_death(self) -> str:
        code = self._process.wait()
        killed = code == -signal.SIGKILL
        remark = ", as the system does where memory runs out" if killed else ""
        return cause_of_death(code, self._stderr, remark=remark)
