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
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from localprompt.errors import WorkerError
from localprompt.processes import Child
from localprompt.scoring.expectations import CannotScoreError

PATTERN_SECONDS = 5.0
"""For a regular expression or a schema; also covers the child's start."""
CODE_SECONDS = 30.0
"""For an assertion written in Python."""

_CHILD = Path(__file__).with_name("bounded_child.py")


class CodeRaisedError(CannotScoreError):
    """What was run raised; the message is the exception in words."""


class _Reply(msgspec.Struct, frozen=True, tag_field="is", tag="reply"):
    """What the child made of a request."""

    text: str
    """JSON as Python writes it: with ``value``, or ``error`` in words."""


class BoundedChild:
    """One child process, started when it is first needed. Safe to share between threads."""

    def __init__(self) -> None:
        self._child: Child[_Reply] | None = None
        self._lock = threading.Lock()

    def run(self, operation: str, seconds: float, **request: Any) -> Any:
        """The operation's value.

        Raises:
            CodeRaisedError: it raised.
            CannotScoreError: it took longer than ``seconds``, or took the child with it.
        """
        message = {"operation": operation, "seconds": seconds, **request}
        line = msgspec.Raw(json.dumps(message, default=str).encode())
        with self._lock:
            try:
                reply = self._started().ask(line, seconds)
            except TimeoutError:
                self._stop()
                raise CannotScoreError(f"took longer than {seconds:g} s and was stopped") from None
            except WorkerError:
                self._stop()
                raise CannotScoreError("ended the process that it ran in") from None
            except BaseException:  # as Ctrl-C: its reply would be taken for that of the next one
                self._stop()
                raise
        answer = json.loads(reply.text)
        if "error" in answer:
            raise CodeRaisedError(answer["error"])
        return answer["value"]

    def close(self) -> None:
        """Ends the child; a later ``run`` starts another."""
        with self._lock:
            self._stop()

    def _started(self) -> Child[_Reply]:
        if self._child is None or not self._child.running:
            self._stop()
            command = (sys.executable, "-I", "-W", "ignore", str(_CHILD))
            self._child = Child(command, _Reply, shows_stderr=True)
        return self._child

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


_shared = BoundedChild()
atexit.register(_shared.close)


def run_bounded(operation: str, seconds: float, **request: Any) -> Any:
    """:meth:`BoundedChild.run` in the child that this process keeps."""
    return _shared.run(operation, seconds, **request)
