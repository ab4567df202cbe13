"""Ctrl-C during calls that Python does not see into."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from localprompt.engine.llama.interrupt import interruptible

ABORT = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)
PROGRESS = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_float, ctypes.c_void_p)


@pytest.fixture(autouse=True)
def python_handles_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def _call(work: Callable[[], object]) -> None:
    with interruptible().call():
        work()


def test_a_call_is_finished_before_ctrl_c_is_raised() -> None:
    done: list[str] = []

    def work() -> None:
        _press()
        done.append("the rest of the call")

    with pytest.raises(KeyboardInterrupt):
        _call(work)
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_ctrl_c_nothing_is_raised() -> None:
    _call(lambda: None)
    with pytest.raises(ZeroDivisionError):
        _call(lambda: 1 / 0)


def test_what_was_opened_before_ctrl_c_is_raised_is_freed() -> None:
    freed: list[int] = []

    def begin() -> int:
        _press()
        return 7

    with pytest.raises(KeyboardInterrupt):
        interruptible().opened(begin, freed.append)
    assert freed == [7]
    assert interruptible().opened(lambda: 8, freed.append) == 8
    assert freed == [7]


def test_loading_is_asked_to_stop() -> None:
    go_on = interruptible().go_on(PROGRESS)
    answers: list[bool] = []

    def load() -> None:
        answers.append(go_on(0.1, None))
        _press()
        answers.append(go_on(0.2, None))

    with pytest.raises(KeyboardInterrupt):
        _call(load)
    assert answers == [True, False]


def test_computing_is_asked_to_stop_without_a_line_of_python() -> None:
    function, data = interruptible().abort(ABORT)
    answers: list[bool] = []

    def compute() -> None:
        answers.append(function(data))
        _press()
        answers.append(_becomes_true(lambda: function(data)))

    with pytest.raises(KeyboardInterrupt):
        _call(compute)
    assert answers == [False, True]
    _call(lambda: answers.append(function(data)))
    assert answers[-1] is False  # an old Ctrl-C does not end the next call


def test_computing_is_asked_to_stop_after_a_loop_of_asyncio_has_listened_as_well() -> None:
    function, data = interruptible().abort(ABORT)

    async def listen() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: None)

    asyncio.run(listen())
    answers: list[bool] = []

    def compute() -> None:
        _press()
        answers.append(_becomes_true(lambda: function(data)))

    with pytest.raises(KeyboardInterrupt):
        _call(compute)
    assert answers == [True]


def test_a_handler_of_somebody_elses_stays_in_place() -> None:
    heard = []
    signal.signal(signal.SIGINT, lambda *_: heard.append("theirs"))
    with interruptible().call():
        _press()
    assert heard == ["theirs"]


def test_a_thread_can_call_as_well() -> None:
    done: list[bool] = []

    def work() -> None:
        with interruptible().call():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def _becomes_true(condition: Callable[[], bool]) -> bool:
    """Within ten seconds, which is long for a thread to wake up."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.001)
    return False
