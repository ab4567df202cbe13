"""Ctrl-C while llama.cpp is at work.

Python delivers a signal between two of its own instructions. During a call into llama.cpp there
are none, except in the callback that receives its log, and an exception raised there is lost. A
call of :class:`Interruptible` therefore notes Ctrl-C while it lasts, and raises the
KeyboardInterrupt when it is over.

It should not last long then. While a model is loaded, llama.cpp asks a callback after each tensor
whether to go on. While it computes, it asks one between the nodes of its graph, a thousand times
per token; answering in Python would cost more than the token. So that callback is the C library's
``strlen``, and what it is given is a string that is empty until Ctrl-C was pressed: Python's
handler in C notes each signal in a pipe at once, and a thread at the other end fills the string.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_PRESSED = b"!"


class Interruptible:
    """Calls into llama.cpp that Ctrl-C ends early; one per process."""

    def __init__(self) -> None:
        self._pressed = False
        self._flag = ctypes.create_string_buffer(2)
        self._libc = ctypes.CDLL(None)
        self._write_end: int | None = None

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around a call.

        Raises:
            KeyboardInterrupt: at the end, if Ctrl-C was pressed meanwhile.
        """
        if not _raises_keyboard_interrupt():
            yield
            return
        self._pressed, self._flag.value = False, b""
        if self._write_end is not None:
            self._listen(self._write_end)
        signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if self._pressed:
                raise KeyboardInterrupt

    def opened(self, begin: Callable[[], Any], free: Callable[[Any], object]) -> Any:
        """The pointer that a call returns, which may be null.

        Raises:
            KeyboardInterrupt: as :meth:`call`; what was opened all the same is freed again.
        """
        pointer = None
        try:
            with self.call():
                pointer = begin()
        except KeyboardInterrupt:
            if pointer:
                free(pointer)
            raise
        return pointer

    def go_on(self, kind: Any) -> Any:
        """A progress callback of the ctypes function type ``kind``."""

        def answer(_progress: float, _data: object) -> bool:
            return not self._pressed

        function: Callable[..., bool] = kind(answer)
        return function

    def abort(self, kind: Any) -> tuple[Any, Any]:
        """An abort callback of the ctypes function type ``kind``, and the data to give it."""
        self._watch()
        return ctypes.cast(self._libc.strlen, kind), ctypes.cast(self._flag, ctypes.c_void_p)

    def _note(self, _signal: int, _frame: object) -> None:
        self._pressed = True

    def _watch(self) -> None:
        """Fill the flag when a signal comes; once, and only where nobody listens already."""
        if self._write_end is not None or not _raises_keyboard_interrupt():
            return
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        if not self._listen(write_end):
            os.close(read_end)
            os.close(write_end)
            return
        self._write_end = write_end

        def wait() -> None:
            while noted := os.read(read_end, 64):
                if signal.SIGINT in noted:
                    self._flag.value = _PRESSED

        threading.Thread(target=wait, name="ctrl-c", daemon=True).start()

    @staticmethod
    def _listen(write_end: int) -> bool:
        """Have signals noted in the pipe, again where a loop of asyncio has come and gone meanwhile
        (the prompt of ``chat`` is one); False: somebody else listens, and stays."""
        listening = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        if listening in (-1, write_end):
            return True
        signal.set_wakeup_fd(listening)
        return False


@cache
def interruptible() -> Interruptible:
    """This process's."""
    return Interruptible()


def _raises_keyboard_interrupt() -> bool:
    """Signals reach the main thread alone; and a handler of somebody else's stays in place."""
    return (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
