"""Processes learn what others are measuring, and nothing stays of those that died."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localprompt.store.under_way import announced, under_way

_OTHER = """
import sys
from localprompt.store.under_way import announced
with announced("eval", "tones", "01ABC") as notice:
    notice.tell("smollm2-135m, classify", 120, 400)
    print("ready", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def another() -> Iterator[subprocess.Popen[str]]:
    """A process that evaluates until it is told to end."""
    with subprocess.Popen(
        [sys.executable, "-c", _OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path))
    return tmp_path / "running"


def test_another_process_is_seen_with_how_far_it_is() -> None:
    with another() as process:
        (found,) = under_way()
    assert found.text == f"evaluation tones, 120 of 400 (process {process.pid})"
    assert (found.result_id, found.doing) == ("01ABC", "smollm2-135m, classify")


def test_nothing_stays_of_one_that_ended(running: Path) -> None:
    with another() as process:
        process.communicate("\n", timeout=30)
        assert list(running.iterdir()) == []
        assert under_way() == ()


@pytest.mark.parametrize("content", ["", '{"kind":"\xff"}', "[" * 60_000, "null"])
@pytest.mark.parametrize("name", ["eval-x-0.json", "a-b-c-d.json", "eval-7-0.json"])
def test_what_cannot_be_read_is_passed_over(running: Path, name: str, content: str) -> None:
    with another():
        (there,) = running.iterdir()
        odd = running / name
        odd.write_bytes(content.encode("latin-1"))
        with odd.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            found = under_way()
        assert there.exists()
    assert [one.kind for one in found] == ["eval"] * (2 if name == "eval-7-0.json" else 1)


def test_what_a_killed_process_left_is_not_taken_for_running_and_removed(running: Path) -> None:
    with another() as process:
        process.kill()
        process.wait()
        assert len(list(running.iterdir())) == 1
        assert under_way() == ()
    assert list(running.iterdir()) == []


def test_what_this_process_measures_itself_is_not_among_the_others() -> None:
    with announced("bench", "mine") as notice:
        assert notice.others() == ()


def test_one_that_is_read_half_written_is_known_by_its_name(running: Path) -> None:
    with another() as process:
        (file,) = running.iterdir()
        file.write_bytes(b'{"kind":"eval","pid":')
        (found,) = under_way()
    assert (found.kind, found.pid, found.done) == ("eval", process.pid, None)


def test_a_file_that_has_no_business_there_is_passed_over(running: Path) -> None:
    running.mkdir()
    (running / "a-b-c.json").write_text("not one of ours")
    assert under_way() == ()


def test_progress_is_written_a_few_times_a_second_at_most(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("localprompt.store.under_way.time.monotonic", lambda: now)
    with announced("tune", "smollm2-135m") as notice:
        (file,) = running.iterdir()
        notice.tell("first", 1)
        notice.tell("second", 2)
        assert b'"first"' in file.read_bytes()
        now += 1
        notice.tell("third", 3)
        assert b'"third"' in file.read_bytes()


def test_where_nothing_can_be_written_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("LOCALPROMPT_HOME", str(blocked))
    with announced("bench", "mine") as notice:
        notice.tell("on", 1, 2)
        assert notice.others() == ()
    assert under_way() == ()
