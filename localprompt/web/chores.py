"""What takes minutes and is not an answer: fetching weights, quantizing; and asking the doctor.

Each is done by a child of its own, so that neither llama.cpp's library nor a hash over gigabytes
is in the server. One chore is under way at a time; the last one's end stays to be read.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress

from localprompt.doctor import Finding
from localprompt.errors import InputError, LocalPromptError, WorkerError
from localprompt.processes import Child, worker_command
from localprompt.web.chore_worker import Diagnose, Done, Found, Pull, Quantize, Reply, Stage

WORKER = worker_command("localprompt.web.chore_worker")
_WHO = "the process that did it"


class Chore:
    """One of them. Its attributes are written by the thread that follows it."""

    def __init__(self, what: Pull | Quantize) -> None:
        self.what = what
        self.stage = ""
        self.done = 0
        self.total: int | None = None
        self.ended = False
        self.made = ""
        """The name of the model that is there now."""
        self.problem: LocalPromptError | None = None
        self.stopped = False


class Chores:
    """Whoever is under way; close it to end the child.

    Args:
        command: what to start; tests have another.
    """

    def __init__(self, command: Sequence[str] = WORKER) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._child: Child[Reply] | None = None
        self._thread: threading.Thread | None = None
        self.last: Chore | None = None

    def begin(self, what: Pull | Quantize) -> Chore:
        """
        Raises:
            InputError: another one is under way.
        """
        with self._lock:
            if self.last is not None and not self.last.ended:
                raise InputError(
                    "one thing at a time",
                    found=f"{self.last.what.model} is being worked on",
                    next_step="wait until it is done, or stop it",
                )
            self.last = chore = Chore(what)
            self._thread = threading.Thread(target=self._follow, args=(chore,), daemon=True)
            self._thread.start()
        return chore

    def stop(self) -> None:
        """End what is under way; nothing half-done stays but the beginning of a download."""
        with self._lock:
            if self.last is not None and not self.last.ended:
                self.last.stopped = True
                if self._child is not None and self._child.running:
                    with suppress(ProcessLookupError):
                        os.kill(self._child.pid, signal.SIGINT)

    def close(self) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def diagnose(self) -> tuple[Finding, ...]:
        """What ``doctor`` says.

        Raises:
            LocalPromptError: the doctor's process died, or could not say.
        """
        with Child[Reply](self._command, Reply, who="the doctor's process") as child:
            reply = child.ask(Diagnose())
            if not isinstance(reply, Found):
                raise child.out_of_turn(reply)
            return reply.findings

    def _follow(self, chore: Chore) -> None:
        # The child lives no longer than the thread that starts it.
        try:
            with Child[Reply](self._command, Reply, who=_WHO) as child:
                with self._lock:
                    self._child = child
                    if chore.stopped:
                        return
                child.send(chore.what)
                while isinstance(reply := child.receive(), Stage):
                    chore.stage, chore.done, chore.total = reply.name, reply.done, reply.total
                if not isinstance(reply, Done):
                    raise child.out_of_turn(reply)
                chore.made = reply.model
        except WorkerError as error:
            chore.problem = None if chore.stopped else error
        except LocalPromptError as error:
            chore.problem = error
        finally:
            with self._lock:
                self._child = None
                chore.ended = True
