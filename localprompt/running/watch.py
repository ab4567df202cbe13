"""A parent that outlives its work, to say what became of it.

When llama.cpp takes its process down there is nobody left who could explain it. So ``ask``, ``run``
and ``eval`` fork before they open a model: the child goes on as if nothing had happened, in the
same terminal and with the same exit code; the parent waits. It says something only if the child
crashed: what died, in which phase, with which model (the child's notes,
:mod:`localprompt.engine.crashes`), what was kept and what to try.

The child is alone in a process group, so that no signal reaches it twice: what the terminal or a
program sends to the parent (Ctrl-C, Ctrl-Z, a request to end) is handed on. ``chat`` reads from the
terminal, which only its own process group may; there the two share one, and the parent hands on
nothing that the terminal has sent to both. On Linux the child dies with its parent.

On macOS a process cannot be forked as early as this, and nothing is watched: a crash is then
explained by Python's own handler, which writes where it happened.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

import msgspec

from localprompt.engine.crashes import Notes, is_alone, signal_of, take_notes
from localprompt.errors import EXIT_MACHINE, EngineError
from localprompt.records.run import RunRecord

_HANDED_ON = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
_BY_KERNEL = 0x80
"""``si_code`` of a signal that no process sent: the terminal's, which goes to a whole group."""
_WAITED_FOR = _HANDED_ON | {signal.SIGCHLD, signal.SIGTSTP, signal.SIGCONT}


class Crash(msgspec.Struct, frozen=True):
    """What is known about a child that was taken down."""

    died_of: str
    """``SIGILL (an instruction …)``."""
    signal: int
    phase: str
    model: str
    """Path of the model that was open; empty before one was."""
    tokens: tuple[str, ...]
    """The answer, as far as it came."""
    record: bytes
    """The run's record as JSON, as it was before the first token; empty before there was one."""

    def run(self) -> RunRecord | None:
        """The record of the run that crashed, with what there was of its answer; None where it
        crashed before there was anything to record."""
        from localprompt.records import json

        try:
            before = json.decode(self.record)
        except msgspec.DecodeError:
            return None
        return msgspec.structs.replace(
            before,
            tokens=msgspec.structs.replace(before.tokens, completion=len(self.tokens)),
            output=msgspec.structs.replace(before.output, text="".join(self.tokens)),
        )

    def error(self, *, kept: str, schema: str | None = None) -> EngineError:
        """What the user is told.

        Args:
            kept: what is in the history of it.
            schema: what held the answer to its form.
        """
        phase = f" ({self.phase})" if self.phase else ""
        held = f", held to {schema}" if schema else ""
        return EngineError(
            f"llama.cpp died of {self.died_of}",
            where=f"{self.model or 'before a model was opened'}{phase}{held}",
            found=kept,
            next_step=_ADVICE.get(self.signal, _ASK_DOCTOR),
        )


_ASK_DOCTOR = "localprompt doctor (does this build work on this CPU?), or --no-repack"
_ADVICE: dict[int, str] = {
    signal.SIGBUS: "localprompt models verify MODEL (was its file changed while it was used?)",
    signal.SIGKILL: "--max-memory SIZE, a smaller --n-ctx, or a smaller model",
    signal.SIGABRT: "what llama.cpp says above; a simpler schema; localprompt doctor",
    signal.SIGSEGV: "localprompt models verify MODEL; localprompt doctor; a simpler schema",
}


def begin(explain: Callable[[Crash], None], *, reads_terminal: bool = False) -> None:
    """Go on in a child that is being watched; returns in the child.

    Args:
        reads_terminal: the child stays in the terminal's process group.
        explain: called in the parent if the child crashed, before that ends with exit code 3.
    """
    if not is_alone():
        return
    if sys.platform != "linux":
        with suppress(OSError, ValueError):  # a stderr that is no file
            faulthandler.enable()
        return
    notes = take_notes()
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    child = os.fork()
    if child == 0:
        from localprompt.processes import die_with_parent

        die_with_parent()
        if not reads_terminal:
            os.setpgid(0, 0)
            # A process outside the terminal's own group may be stopped for writing to it.
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    if not reads_terminal:
        with suppress(OSError):
            os.setpgid(child, child)  # whoever comes first
    _follow(_outlived(child), notes, explain)


def _outlived(child: int) -> int:
    """Hand signals on until the child is dead.

    Returns:
        its exit code, negative for a signal.
    """
    while True:
        said = signal.sigwaitinfo(_WAITED_FOR)
        received = said.si_signo
        if received == signal.SIGCHLD:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            continue
        reached_both = said.si_code == _BY_KERNEL and os.getpgid(child) == os.getpgrp()
        if received == signal.SIGTSTP:
            if not reached_both:
                os.kill(child, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
        elif not reached_both:
            os.kill(child, received)


def _follow(code: int, notes: Notes, explain: Callable[[Crash], None]) -> None:
    """End as the child did, or explain why it did not end as it should."""
    if code >= 0:
        os._exit(code)
    died_of = signal_of(code)
    if died_of is None and code != -signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.kill(os.getpid(), -code)
    phase, model, tokens, record = notes.read()
    died_of = died_of or "SIGKILL (as the system does when memory runs out)"
    try:
        explain(Crash(died_of, -code, phase, model, tokens, record))
        sys.stderr.flush()
    finally:
        os._exit(EXIT_MACHINE)
