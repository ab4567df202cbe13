"""Ctrl-C and closed pipes: what there is until then is kept, and nothing else is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from localprompt.records.run import RunRecord
from localprompt.store.history import History
from tests.cli.program import command_line, completed, started

pytestmark = pytest.mark.model

LONG = ("--threads", "1", "--max-tokens", "2000", "--n-ctx", "2304")

# The program, telling the test on stdout when llama.cpp begins to evaluate the prompt.
TELL_WHEN_PREFILL_BEGINS = """
import os, sys
from localprompt.__main__ import main
from localprompt.engine.llama.context import Context

decode = Context.decode

def told(self, slots):
    os.write(1, b"!")
    decode(self, slots)

Context.decode = told
main(sys.argv[1:])
"""
# The program, telling the test on stdout when llama.cpp has read a part of the weights.
TELL_WHEN_LOADING = """
import os, sys
from localprompt.__main__ import main
from localprompt.engine.llama.interrupt import Interruptible

go_on = Interruptible.go_on

def told(self, kind):
    answer = go_on(self, kind)

    def ask(progress, data):
        if progress < 0.1:
            os.write(1, b"!")
            os.read(0, 1)
        return answer(progress, data)

    self.kept = kind(ask), answer
    return self.kept[0]

Interruptible.go_on = told
main(sys.argv[1:])
"""


def _last() -> RunRecord:
    with History(read_only=True) as history:
        assert history.stats().runs == 1
        return history.get("last")


def test_ctrl_c_while_the_answer_streams_keeps_what_there_is(lab_home: Path) -> None:
    with started(command_line("ask", "Tell a very long story.", *LONG)) as process:
        assert process.stdout is not None
        begun = os.read(process.stdout.fileno(), 1).decode()
        os.killpg(process.pid, signal.SIGINT)
        rest, err = process.communicate()
    assert process.returncode == 130
    assert err.endswith("interrupted; the answer so far is in the history\n")
    assert "Traceback" not in err
    record = _last()
    assert record.output.finish_reason == "interrupted"
    shown = begun + rest
    assert shown.endswith("\n")
    assert record.output.text.startswith(shown[:-1])
    assert 0 < record.tokens.completion < 2000
    assert record.timing.ttft_seconds is not None
    assert record.timing.total_seconds is None


def test_ctrl_c_during_prefill_does_not_wait_for_its_end(lab_home: Path) -> None:
    """The whole prompt is one batch: without an answer of llama.cpp's in its midst, the record
    would have the time that it took."""
    program = [sys.executable, "-c", TELL_WHEN_PREFILL_BEGINS]
    prompt = ("ask", "word " * 4000, "--threads", "1", "--n-batch", "4096")
    with started([*program, *prompt]) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 1) == b"!"
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert err.endswith("interrupted before the first token; the history says so\n")
    assert "Exception ignored" not in err
    record = _last()
    assert (record.output.text, record.output.finish_reason) == ("", "interrupted")
    assert record.tokens.prompt > 4000
    assert record.timing.prefill_seconds is None


def test_ctrl_c_while_the_model_is_loaded_leaves_nothing(lab_home: Path) -> None:
    # Not ask, which would read what the test keeps open.
    program = [sys.executable, "-c", TELL_WHEN_LOADING, "run", "classify-sentiment"]
    with started([*program, "-p", "review=Good."], stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 1) == b"!"
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate("go on")
    assert process.returncode == 130
    assert err == "interrupted\n"
    assert not (lab_home / "history.db").exists()


def test_a_closed_pipe_ends_the_answer_without_a_word(lab_home: Path) -> None:
    """As ``localprompt ask … | head -c 5``."""
    with started(command_line("ask", "Tell a very long story.", *LONG, "-q")) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 5)
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        assert process.wait() == 141
    assert err == ""
    record = _last()
    assert record.output.finish_reason == "interrupted"
    assert 0 < record.tokens.completion < 2000


@pytest.mark.parametrize("arguments", [("models", "show", "smollm2-135m"), ("--help",)])
def test_every_command_survives_a_reader_that_goes_away(
    arguments: tuple[str, ...], lab_home: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with started(command_line(*arguments), stdout=writer) as process:
        os.close(writer)
        _, err = process.communicate()
    assert process.returncode == 141
    assert err == ""


def test_every_command_says_when_stdout_is_on_a_full_disk(lab_home: Path) -> None:
    with (
        Path("/dev/full").open("w") as full,
        started(command_line("doctor"), stdout=full) as doctor,
    ):
        _, err = doctor.communicate()
    assert doctor.returncode == 3
    assert err.startswith("error: the disk is full\n  where:    stdout\n")


def test_a_half_written_line_is_ended_before_anything_else_is_said(lab_home: Path) -> None:
    ran = completed("ask", "Hi", "--threads", "1", "--max-tokens", "1")
    assert ran.out.endswith("\n")
    assert ran.err.startswith("[load ")
