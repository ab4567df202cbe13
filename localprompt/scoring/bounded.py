"""Checks that could run for ever, run where they can be stopped.

A regular expression can take exponential time (``(a+)+$`` against twenty a's and a b), and
Python's matcher can neither be given a deadline nor be interrupted from another thread; the same
goes for patterns inside a JSON Schema and for an assertion's own Python code. They run in a child
process that is kept for the next check, and is killed and replaced when its time is over.
A round trip costs about a tenth of a millisecond.

The child is a bound on time and a shield against crashes, not a sandbox: Python code of a suite
runs with the rights of its user, which is why it has to be allowed.
"""

from __future__ import annotations

import atexit
import json
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from localprompt.scoring.expectations import CannotScoreError

PATTERN_SECONDS = 5.0
"""For a regular expression or a schema; also covers the child's start."""
CODE_SECONDS = 30.0
"""For an assertion written in Python."""

_CHILD = Path(__file__).with_name("bounded_child.py")


class BoundedChild:
    """One child process, started when it is first needed. Safe to share between threads."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def run(self, operation: str, seconds: float, **request: Any) -> Any:
        """The operation's value.

        Raises:
            CannotScoreError: it raised, took longer than ``seconds``, or took the child with it.
        """
        message = {"operation": operation, "seconds": seconds, **request}
        line = json.dumps(message, default=str).encode() + b"\n"
        with self._lock:
            reply = self._exchange(line, time.monotonic() + seconds)
        if reply is None:
            raise CannotScoreError(f"took longer than {seconds:g} s and was stopped")
        if not reply:
            raise CannotScoreError("ended the process that it ran in")
        answer = json.loads(reply)
        if "error" in answer:
            raise CannotScoreError(answer["error"])
        return answer["value"]

    def close(self) -> None:
        """Ends the child; a later ``run`` starts another."""
        with self._lock:
            self._stop()

    def _exchange(self, line: bytes, deadline: float) -> bytes | None:
        """The reply line; None when the time is over, empty when the child is gone."""
        process = self._started()
        assert process.stdin is not None  # noqa: S101 — both are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            unsent = memoryview(line)
            while unsent:
                unsent = unsent[process.stdin.write(unsent) :]
        except BrokenPipeError:
            self._stop()
            return b""
        reply = b""
        while not reply.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                self._stop()
                return None
            # The pipe is unbuffered on this side, so select sees all that has arrived.
            part = process.stdout.read(1 << 16)
            if not part:
                self._stop()
                return b""
            reply += part
        return reply

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._stop()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-W", "ignore", str(_CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                process_group=0,  # Ctrl-C is the parent's to handle
            )
        return self._process

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()
        self._process = None


_shared = BoundedChild()
atexit.register(_shared.close)


def run_bounded(operation: str, seconds: float, **request: Any) -> Any:
    """:meth:`BoundedChild.run` in the child that this process keeps."""
    return _shared.run(operation, seconds, **request)
