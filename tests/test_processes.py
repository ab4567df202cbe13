from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from localprompt.errors import (
    EngineError,
    InputError,
    LocalPromptError,
    UnknownNameError,
    WorkerError,
)
from localprompt.measure.kernel import ON_LINUX
from localprompt.processes import Child, Failed, Parent, attend, worker_command


class Say(msgspec.Struct, frozen=True, tag_field="do", tag="say"):
    text: str


class Said(msgspec.Struct, frozen=True, tag_field="is", tag="said"):
    text: str


WORKER = f"""
import os, signal, sys, time
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from localprompt.errors import InputError
from localprompt.processes import serve
from tests.test_processes import Said, Say

def answer(parent):
    for command in parent.commands():
        match command.text.split():
            case ["die", name]:
                print("the last word", file=sys.stderr, flush=True)
                os.kill(os.getpid(), getattr(signal, name))
            case ["refuse"]:
                raise InputError("that is not a word", where="line 1", next_step="say another")
            case ["print"]:
                print("a library that prints", flush=True)
            case ["work"]:
                parent.say(Said("working"))
                while not parent.wants_more():
                    time.sleep(0.01)
        parent.say(Said(command.text))

sys.exit(serve(Say, answer))
"""
COMMAND = (sys.executable, "-c", WORKER)


def child() -> Child[Said]:
    return Child(COMMAND, Said, who="the worker")


def test_a_child_answers_each_line_with_one_line_however_long() -> None:
    with child() as one:
        for text in ("a", "é\n" * 100_000, "print"):
            assert one.ask(Say(text)) == Said(text)


def test_commands_may_be_sent_ahead() -> None:
    with child() as one:
        for text in ("a", "b", "c"):
            one.send(Say(text))
        assert [one.receive().text for _ in range(3)] == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["SIGKILL", "SIGABRT"])
def test_a_death_is_explained_by_its_signal_and_the_last_words(name: str) -> None:
    with pytest.raises(WorkerError) as caught, child() as one:
        one.ask(Say(f"die {name}"))
    number = signal.Signals[name].value
    assert caught.value.message.startswith(f"the worker was killed by signal {number} ({name})")
    assert caught.value.message.endswith(": the last word")


def test_a_child_that_cannot_start_its_work_is_explained_by_its_exit_code() -> None:
    with (
        pytest.raises(WorkerError, match="its process ended with exit code 1: no such library"),
        Child[Said]((sys.executable, "-c", "raise SystemExit('no such library')"), Said) as one,
    ):
        one.ask(Say("a"))


@pytest.mark.parametrize("why", ["no such program", "no room for its stderr"])
def test_a_child_that_cannot_be_started_is_an_error_and_leaves_nothing_open(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command: tuple[str, ...] = COMMAND
    if why == "no such program":
        command = (str(tmp_path / "nothing"),)
    else:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    before = len(list(Path("/proc/self/fd").iterdir())) if ON_LINUX else 0
    with pytest.raises(WorkerError, match="its process could not be started"):
        Child(command, Said)
    assert (len(list(Path("/proc/self/fd").iterdir())) if ON_LINUX else 0) == before


def test_what_a_child_cannot_do_arrives_as_the_same_error() -> None:
    with pytest.raises(InputError) as caught, child() as one:
        one.ask(Say("refuse"))
    error = caught.value
    assert (error.message, error.where, error.next_step) == (
        "that is not a word",
        "line 1",
        "say another",
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EngineError("a", where="b", expected="c", found="d", next_step="e"), EngineError),
        (UnknownNameError("a", nearest=("x", "y")), InputError),
    ],
)
def test_an_error_keeps_its_parts_on_the_way(
    error: LocalPromptError, kind: type[LocalPromptError]
) -> None:
    line = msgspec.json.encode(Failed.of(error))
    again = msgspec.json.decode(line, type=Failed).error()
    assert isinstance(again, kind)
    assert again.exit_code == error.exit_code
    assert str(again) == str(error)


def test_a_line_that_is_not_a_reply_is_told_from_a_death() -> None:
    with (
        pytest.raises(WorkerError, match="answered nonsense: b'hello"),
        Child[Said]((sys.executable, "-c", "print('hello', flush=True); input()"), Said) as one,
    ):
        one.ask(Say("a"))


def test_a_reply_can_be_waited_for_a_limited_time_and_comes_later() -> None:
    with child() as one:
        one.ask(Say("work"))
        with pytest.raises(TimeoutError):
            one.receive(seconds=0.05)
        one.send(Say("enough"))
        assert one.receive(seconds=60) == Said("work")
        assert one.receive(seconds=60) == Said("enough")


def test_leaving_with_nothing_wrong_lets_it_end_by_itself() -> None:
    with child() as one:
        one.ask(Say("a"))
    assert not one.running


def test_leaving_by_an_error_does_not_wait_for_the_work() -> None:
    one = child()
    one.ask(Say("work"))
    one.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert one._process.returncode == -signal.SIGKILL


def ended(pid: int) -> bool:
    """Whether it is gone, or dead and not yet buried by whoever it was left to."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


PARENT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from tests.test_processes import Say, child
one = child()
one.ask(Say("work"))
print(one.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not ON_LINUX, reason="looks into /proc")
def test_a_child_in_the_middle_of_its_work_dies_with_its_parent() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not ended(pid)
        parent.kill()
    assert within(30, lambda: ended(pid))


def test_the_end_of_its_stdin_ends_a_child_that_works() -> None:
    one = child()
    one.ask(Say("work"))
    one._stdin.close()
    assert one._process.wait(timeout=30) == 3
    one.close()


def test_a_worker_hears_at_once_that_its_parent_left_in_the_middle_of_the_work() -> None:
    told = threading.Event()
    read, write = os.pipe()
    with os.fdopen(read, "rb", buffering=0) as commands:
        parent = Parent[Say](commands, io.BytesIO(), Say, told.set)
        os.write(write, msgspec.json.encode(Say("a")) + b"\n")
        coming = parent.commands()
        assert next(coming) == Say("a")
        assert not told.is_set()
        os.close(write)
        assert told.wait(30)
        assert list(coming) == []


def test_an_error_of_the_worker_is_a_line_and_an_exit_code() -> None:
    replies = io.BytesIO()

    def refuse(_parent: Parent[Say]) -> None:
        raise EngineError("no", found="status 1")

    assert attend(Parent(io.BytesIO(), replies, Say), refuse) == 3
    assert msgspec.json.decode(replies.getvalue(), type=Failed).found == "status 1"


def test_a_folder_of_the_same_name_does_not_take_the_packages_place() -> None:
    assert worker_command("localprompt.running.worker")[1:] == (
        "-P",
        "-m",
        "localprompt.running.worker",
    )
