"""llama.cpp takes its process down: what is said, what is kept, and who survives whom."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from localprompt.store.history import History
from tests.cli.program import SHORT, Ran, started, write_prompt

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(sys.platform != "linux", reason="nothing is watched elsewhere"),
]

ASK = ("ask", "Tell a story.", "--threads", "1", "--max-tokens", "40")

# The program, with something that happens before the n-th batch is evaluated.
AT_BATCH = """
import os, signal, sys, time
from localprompt.__main__ import main
from localprompt.engine.llama.context import Context

decode, done = Context.decode, []

def decode_or_not(self, slots):
    done.append(1)
    if len(done) == {batch}:
        {happens}
    decode(self, slots)

Context.decode = decode_or_not
main(sys.argv[1:])
"""
AT_LOAD = """
import os, signal, sys
from localprompt.__main__ import main
from localprompt.engine.llama.interrupt import Interruptible

def dies(self, kind):
    os.kill(os.getpid(), signal.SIGBUS)

Interruptible.go_on = dies
main(sys.argv[1:])
"""
STOPS = "os.write(2, b'%d ' % os.getpid()); time.sleep(60)"


def at_batch(batch: int, happens: str) -> list[str]:
    return [sys.executable, "-c", AT_BATCH.format(batch=batch, happens=happens)]


def ended(program: Sequence[str], *arguments: str) -> Ran:
    with started([*program, *arguments]) as process:
        out, err = process.communicate()
        return Ran(process.returncode, out, err)


def dying(name: str) -> str:
    return f"os.kill(os.getpid(), signal.{name})"


def test_a_crash_while_it_answers_is_explained_and_recorded(lab_home: Path) -> None:
    ran = ended(at_batch(5, dying("SIGILL")), *ASK)
    assert ran.code == 3
    fields = ran.fields()
    assert fields["error"].startswith("llama.cpp died of SIGILL")
    assert "SmolLM2-135M" in fields["where"]
    assert "(decode)" in fields["where"]
    assert "doctor" in fields["try"]
    with History() as history:
        record = history.get("last")
    assert record.id in fields["found"]
    assert record.output.finish_reason == "error"
    assert record.tokens.completion == 4
    assert record.output.text == ran.out.removesuffix("\n") != ""


def test_a_crash_before_the_first_token_is_recorded_without_an_answer(lab_home: Path) -> None:
    ran = ended(at_batch(1, dying("SIGSEGV")), *ASK)
    assert ran.code == 3
    assert ran.out == ""
    assert "(prefill)" in ran.fields()["where"]
    with History() as history:
        record = history.get("last")
    assert (record.output.text, record.output.finish_reason) == ("", "error")
    assert record.timing.load_seconds is not None
    assert record.timing.prefill_seconds is None


def test_a_crash_while_the_model_loads_names_it(lab_home: Path) -> None:
    ran = ended([sys.executable, "-c", AT_LOAD], *ASK)
    assert ran.code == 3
    assert ran.fields()["error"].startswith("llama.cpp died of SIGBUS")
    assert "(load)" in ran.fields()["where"]
    assert "models verify" in ran.fields()["try"]
    assert not (lab_home / "history.db").exists()


def test_what_is_not_to_be_recorded_is_not(lab_home: Path) -> None:
    ran = ended(at_batch(2, dying("SIGABRT")), *ASK, "--no-log", "--json")
    assert (ran.code, ran.out) == (3, "")
    assert not (lab_home / "history.db").exists()


def test_a_process_that_the_system_ends_is_explained_too(lab_home: Path) -> None:
    ran = ended(at_batch(2, dying("SIGKILL")), *ASK)
    assert ran.code == 3
    assert "memory" in ran.fields()["error"]
    assert "--max-memory" in ran.fields()["try"]


def test_the_prompt_whose_form_an_answer_was_held_to_is_named(lab_home: Path) -> None:
    text = (
        "---\nname: pick\nmetadata:\n  localprompt:\n    choices: [red, blue]\n---\nuser:\nPick.\n"
    )
    write_prompt(Path.cwd(), "pick", text)
    ran = ended(at_batch(1, dying("SIGABRT")), "run", "pick", *SHORT)
    assert ran.code == 3
    assert "held to the answers of" in ran.fields()["where"]
    assert "pick" in ran.fields()["where"]


def test_an_evaluation_says_how_to_go_on(lab_home: Path) -> None:
    write_prompt(Path.cwd(), "greet", "---\nname: greet\n---\nuser:\nGreet {{ name }}.\n")
    cases = Path.cwd() / "cases.jsonl"
    cases.write_text('{"name": "Ann", "expected": "Ann"}\n{"name": "Bo", "expected": "Bo"}\n')
    ran = ended(at_batch(2, dying("SIGILL")), "eval", "greet", "--cases", str(cases), *SHORT)
    assert ran.code == 3
    assert ran.fields()["error"].startswith("llama.cpp died of SIGILL")
    assert "eval --resume last" in ran.fields()["try"]


def test_a_request_to_end_reaches_the_work_and_is_no_crash(lab_home: Path) -> None:
    with started([*at_batch(2, STOPS), *ASK]) as process:
        worker = _pid_said(process.stderr)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
    assert process.returncode == -signal.SIGTERM
    assert "error" not in err
    assert _gone(worker)


def test_the_work_does_not_outlive_whoever_watches_it(lab_home: Path) -> None:
    with started([*at_batch(2, STOPS), *ASK]) as process:
        worker = _pid_said(process.stderr)
        process.kill()
        process.communicate()
    assert _gone(worker)


def test_what_is_stopped_goes_on(lab_home: Path) -> None:
    with started([*at_batch(2, "os.write(2, b'%d ' % os.getpid())"), *ASK]) as process:
        worker = _pid_said(process.stderr)
        process.send_signal(signal.SIGTSTP)
        _wait_for(lambda: _state(worker) == _state(process.pid) == "T")
        process.send_signal(signal.SIGCONT)
        process.communicate()
    assert process.returncode == 0


def _pid_said(stream: object) -> int:
    digits = b""
    while not digits.endswith(b" "):
        digits += os.read(stream.fileno(), 1)  # type: ignore[attr-defined]
    return int(digits)


def _gone(pid: int) -> bool:
    _wait_for(lambda: _state(pid) in {None, "Z"})
    return True


def _state(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def _wait_for(condition: object) -> None:
    until = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.01)
