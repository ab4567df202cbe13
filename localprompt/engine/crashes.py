"""What a run was doing when llama.cpp took its process down, kept where it outlives the process.

llama.cpp ends the process it runs in where a check of its own fails (SIGABRT); so does the CPU
where it meets an instruction that it does not have (SIGILL), and the kernel for an access to
memory that is not there (SIGSEGV, SIGBUS). A process in that state can explain nothing any more.
So while it lives it notes, in a few bytes of memory that another process shares
(:mod:`localprompt.running.watch`), what it is about to do; where nobody shares them, noting does
nothing. A note costs less than a microsecond.
"""

from __future__ import annotations

import mmap
import signal
import struct
from collections.abc import Callable

_MEANINGS = {
    signal.SIGILL: "an instruction that this CPU does not have, or refuses",
    signal.SIGSEGV: "an access to memory that is not its own",
    signal.SIGBUS: "an access to memory, or to a part of a file, that is not there",
    signal.SIGABRT: "a check inside llama.cpp failed",
    signal.SIGFPE: "an arithmetic error",
    signal.SIGTRAP: "a check inside llama.cpp failed",
}


def signal_of(exit_code: int | None) -> str | None:
    """``SIGILL (an instruction …)`` for a process that crashed; None for one that did not.

    Args:
        exit_code: as :mod:`subprocess` has it, negative for a signal.
    """
    meaning = _MEANINGS.get(-(exit_code or 0))  # type: ignore[call-overload]
    return None if meaning is None else f"{signal.Signals(-(exit_code or 0)).name} ({meaning})"


class Notes:
    """Memory for what is being done, shared with the processes that are forked from this one.

    Four fields, each of a length and so many bytes: phase, path of the model, answer, record.
    """

    _STARTS = (0, 256, 4096, 4 * 1024**2, 16 * 1024**2)
    """Of the fields, and the end. Pages that nobody touches take no memory."""
    _LENGTH = struct.Struct("<I")

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, self._STARTS[-1])
        self._text_bytes = 0

    def phase(self, doing: str) -> None:
        self._write(0, doing.encode())

    def model(self, path: str) -> None:
        self._write(1, path.encode())

    def token(self, text: str) -> None:
        """A token of the answer, told apart by a NUL, of which text has none."""
        data = text.replace("\0", "").encode() + b"\0"
        start = self._STARTS[2] + self._LENGTH.size + self._text_bytes
        if start + len(data) <= self._STARTS[3]:
            self._shared[start : start + len(data)] = data
            self._text_bytes += len(data)
            self._LENGTH.pack_into(self._shared, self._STARTS[2], self._text_bytes)

    def record(self, encoded: bytes) -> None:
        """The run's record, as it would be if it ended now; its answer begins."""
        self._text_bytes = 0
        self._write(2, b"")
        self._write(3, encoded)

    def read(self) -> tuple[str, str, tuple[str, ...], bytes]:
        """(phase, path of the model, tokens, record); empty where nothing was noted."""
        phase, model, text, record = (self._read(field) for field in range(4))
        tokens = tuple(text.decode(errors="replace").split("\0")[:-1])
        return phase.decode(), model.decode(errors="replace"), tokens, record

    def _write(self, field: int, data: bytes) -> None:
        start, end = self._STARTS[field] + self._LENGTH.size, self._STARTS[field + 1]
        if start + len(data) > end:
            data = b""  # half a record cannot be read
        self._shared[start : start + len(data)] = data
        self._LENGTH.pack_into(self._shared, self._STARTS[field], len(data))

    def _read(self, field: int) -> bytes:
        (size,) = self._LENGTH.unpack_from(self._shared, self._STARTS[field])
        start = self._STARTS[field] + self._LENGTH.size
        return self._shared[start : start + size]


_alone: list[bool] = []


def alone() -> None:
    """This process belongs to the program alone, and may be forked: said by the program's outermost
    layer, before it knows whether anything will run, and so without importing who would fork."""
    _alone.append(True)


def is_alone() -> bool:
    return bool(_alone)


_readers: list[Notes] = []


def take_notes() -> Notes:
    """From now on, this process and its forks note what they do."""
    _readers.append(Notes())
    return _readers[-1]


def doing(phase: str, *, model: str | None = None) -> None:
    """Note what begins now.

    Args:
        phase: as ``decode``.
        model: path of the model that is being opened; None: still the same.
    """
    for notes in _readers:
        notes.phase(phase)
        if model is not None:
            notes.model(model)


def begun(encoded_record: Callable[[], bytes]) -> None:
    """Note a run's record before its first token."""
    for notes in _readers:
        notes.record(encoded_record())


def token(text: str) -> None:
    """Note a token of the answer."""
    for notes in _readers:
        notes.token(text)
