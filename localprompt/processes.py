"""Child processes: started, watched and ended here; both sides of their protocol.

The parent writes commands, the child writes replies, each a line of JSON::

    parent: Child(worker_command("localprompt.running.worker"), Reply)
        ask(command) ──▶ {"do": …}\\n ──▶ Parent.commands()
        receive()    ◀── {"is": …}\\n ◀── Parent.say(reply)

What a child cannot do is a :class:`Failed`, after which it ends. What it cannot even say (llama.cpp
ends the process where an assertion fails, the system where memory runs out) is told from its exit
status and the last lines of its stderr.

A child never outlives its parent: on Linux the kernel ends it, and everywhere the end of its stdin
does, in the middle of its work, too. Who starts a child has to live as long as it: the kernel ends
it with the *thread* that it was started from.
"""

from __future__ import annotations

import os
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, Generic, Protocol, Self, TypeVar

import msgspec

from localprompt.errors import EngineError, InputError, LocalPromptError, WorkerError

EXIT_FAILED = 3

_SECONDS_TO_LEAVE = 10.0
_READ_BYTES = 1 << 16
_LAST_WORDS_BYTES = 4096
_LAST_WORDS_LINES = 3
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG

Command = TypeVar("Command")
Reply = TypeVar("Reply")


class Failed(msgspec.Struct, frozen=True, tag_field="is", tag="failed"):
    """What the child could not do: an error by its parts."""

    message: str
    where: str | None = None
    expected: str | None = None
    found: str | None = None
    next_step: str | None = None
    wrong_input: bool = False

    @classmethod
    def of(cls, error: LocalPromptError) -> Self:
        return cls(
            error.message,
            error.where,
            error.expected,
            error.found,
            error.next_step,
            isinstance(error, InputError),
        )

    def error(self) -> LocalPromptError:
        """The error again, on this side."""
        kind = InputError if self.wrong_input else EngineError
        return kind(
            self.message,
            where=self.where,
            expected=self.expected,
            found=self.found,
            next_step=self.next_step,
        )


def worker_command(module: str) -> tuple[str, ...]:
    """How a module of this package is started as a child.

    ``-P``: a folder called localprompt in the working directory must not take this one's place.
    """
    return (sys.executable, "-P", "-m", module)


class Child(Generic[Reply]):
    """A child, as its parent sees it. A context manager: leaving by an error ends it at once.

    Args:
        command: what to start.
        replies: the type of what it says; a union of tagged structs.
        who: what it is called where its death is explained.
        shows_stderr: its stderr is this process's own, and not kept for explanations.

    Raises:
        WorkerError: it cannot be started: no such program, no process left, no room for its stderr.
    """

    def __init__(
        self,
        command: Sequence[str],
        replies: Any,
        *,
        who: str = "its process",
        shows_stderr: bool = False,
    ) -> None:
        self._who = who
        self._oom_kills = _oom_kills()
        self._decoder = msgspec.json.Decoder(replies | Failed)
        self._stderr: IO[bytes] | None = None  # closed when the child is buried
        try:
            if not shows_stderr:
                self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                bufsize=0,
                # Ctrl-C is the parent's to handle: it decides what becomes of its children.
                start_new_session=True,
            )
        except OSError as error:
            if self._stderr is not None:
                self._stderr.close()
            raise WorkerError(f"{who} could not be started", found=str(error)) from error
        assert self._process.stdin is not None  # noqa: S101  both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._lines = _Lines(self._stdout)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit status, negative for a signal; None while it lives."""
        return self._process.poll()

    def send(self, command: Any) -> None:
        """Write a command. A child that is dead says so when its reply is read."""
        unsent = memoryview(msgspec.json.encode(command, enc_hook=str) + b"\n")
        try:
            while unsent:
                unsent = unsent[self._stdin.write(unsent) :]
        except BrokenPipeError:
            pass

    def receive(self, seconds: float | None = None) -> Reply:
        """Its next reply.

        Args:
            seconds: how long to wait; None: as long as it lives.

        Raises:
            WorkerError: it died, or said what is not a reply; with the cause.
            TimeoutError: nothing came in time; it goes on.
            InputError, EngineError: it could not do what it was told to.
        """
        line = self._lines.next(None if seconds is None else time.monotonic() + seconds)
        if line is None:
            raise WorkerError(self._cause_of_death())
        try:
            reply = self._decoder.decode(line)
        except msgspec.DecodeError as error:
            raise WorkerError(f"{self._who} answered nonsense: {line[:100]!r}") from error
        if isinstance(reply, Failed):
            raise reply.error()
        return reply  # type: ignore[no-any-return]

    def ask(self, command: Any, seconds: float | None = None) -> Reply:
        """Write a command and read the reply; raises as :meth:`receive`."""
        self.send(command)
        return self.receive(seconds)

    def out_of_turn(self, reply: object) -> WorkerError:
        """The error for a reply that does not belong here."""
        return WorkerError(f"{self._who} answered out of turn: {type(reply).__name__}")

    def close(self) -> None:
        """Let it end by itself; one that does not within ten seconds is killed."""
        self._stdin.close()
        self._wait()
        self._bury()

    def kill(self) -> None:
        """End it now, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._bury()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        # Whoever leaves in a hurry (Ctrl-C in the middle of a repetition) does not wait for it.
        if kind is None:
            self.close()
        else:
            self.kill()

    def _wait(self) -> int:
        try:
            return self._process.wait(timeout=_SECONDS_TO_LEAVE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _bury(self) -> None:
        self._stdin.close()
        self._stdout.close()
        if self._stderr is not None:
            self._stderr.close()

    def _cause_of_death(self) -> str:
        """``its process was killed by signal 11 (SIGSEGV): …``, with the last lines it wrote."""
        code = self._wait()
        if code >= 0:
            cause = f"{self._who} ended with exit code {code}"
        else:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
            cause = f"{self._who} was killed by signal {-code} ({name})"
        if code == -signal.SIGKILL:
            cause += (
                ": the system had run out of memory"
                if _oom_kills() != self._oom_kills
                else ", as the system does when memory runs out"
            )
        words = "" if self._stderr is None else _last_words(self._stderr)
        return f"{cause}: {words}" if words else cause


class Parent(Generic[Command]):
    """The parent, as a child sees it.

    Commands are read by a thread of their own, so that a child learns in the middle of its work
    that there is another one, or that there will never be one again.

    Args:
        commands: lines of JSON.
        replies: where lines of JSON go.
        kinds: the type of the commands; a union of tagged structs.
        orphaned: called, from any thread, where work is left and nobody waits for it any more.
    """

    def __init__(
        self,
        commands: _Readable,
        replies: BinaryIO,
        kinds: Any,
        orphaned: Callable[[], object] = lambda: None,
    ) -> None:
        self._replies = replies
        self._decoder = msgspec.json.Decoder(kinds)
        self._orphaned = orphaned
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._came = 0
        self._done = 0
        threading.Thread(target=self._read, args=(commands,), daemon=True).start()

    def commands(self) -> Iterator[Command]:
        """Each command as it comes; ends when the parent wants no more."""
        while (line := self._waiting.get()) is not None:
            yield self._decoder.decode(line)
            self._done += 1

    def wants_more(self) -> bool:
        """Whether a further command waits while this one is being worked on."""
        return self._came > self._done + 1

    def say(self, reply: Any) -> None:
        """Write a reply."""
        try:
            self._replies.write(msgspec.json.encode(reply) + b"\n")
            self._replies.flush()
        except BrokenPipeError:
            self._orphaned()

    def _read(self, commands: _Readable) -> None:
        lines = _Lines(commands)
        while (line := lines.next()) is not None:
            self._came += 1
            self._waiting.put(line)
        if self._came > self._done:
            self._orphaned()
        self._waiting.put(None)


def serve(kinds: Any, answer: Callable[[Parent[Any]], None]) -> int:
    """Work for the parent on stdin and stdout: what a worker's ``main`` does.

    Args:
        kinds: the type of the commands.
        answer: takes commands and says replies until there are no more.

    Returns:
        the exit code.
    """
    die_with_parent()
    # Whatever a library prints belongs to stderr: the only thing on stdout is the protocol.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Unbuffered: a thread that waits in a buffered reader would hold its lock when Python ends.
    commands = os.fdopen(os.dup(0), "rb", buffering=0)
    return attend(Parent(commands, replies, kinds, lambda: os._exit(EXIT_FAILED)), answer)


def attend(parent: Parent[Any], answer: Callable[[Parent[Any]], None]) -> int:
    """:func:`serve` for a parent that is there already."""
    try:
        answer(parent)
    except LocalPromptError as error:
        parent.say(Failed.of(error))
        return EXIT_FAILED
    return 0


class _Readable(Protocol):
    """What bytes can be read from as they come: an unbuffered pipe, or a test's BytesIO."""

    def read(self, size: int, /) -> bytes | None: ...


class _Lines:
    """Lines of a pipe, each waited for as long as its reader likes."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._buffer = bytearray()
        self._searched = 0

    def next(self, deadline: float | None = None) -> bytes | None:
        """The next whole line; None: there are no more.

        Raises:
            TimeoutError: it was not complete at the deadline, a time of the monotonic clock.
        """
        while (end := self._buffer.find(b"\n", self._searched)) < 0:
            self._searched = len(self._buffer)
            if deadline is not None:
                self._wait(deadline)
            part = self._pipe.read(_READ_BYTES)
            if not part:
                return None
            self._buffer += part
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return line

    def _wait(self, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError


def die_with_parent() -> None:
    """On Linux, let the kernel end this process when its parent is gone."""
    if sys.platform != "linux":
        return
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # it died in between
        sys.exit(EXIT_FAILED)


def _last_words(stderr: IO[bytes]) -> str:
    """The end of its stderr: what llama.cpp or Python said before the end."""
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - _LAST_WORDS_BYTES))
    lines = stderr.read().decode(errors="replace").splitlines()
    return " | ".join([line.strip() for line in lines if line.strip()][-_LAST_WORDS_LINES:])


def _oom_kills() -> int | None:
    """How many processes Linux has ended for want of memory since boot."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
