"""Errors, warnings and notes as a person reads them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from localprompt.errors import ModelMissingError, PromptFileError
from localprompt.records.run import RunWarning
from localprompt.views.messages import format_error, print_error, print_note, print_warnings


def test_an_error_has_its_parts_one_below_the_other() -> None:
    error = PromptFileError(
        "the variable 'whom' is not defined",
        where="it.prompty:8",
        expected="one of: who",
        found="whom",
        next_step="-p whom=…",
    )
    assert format_error(error) == (
        "error: the variable 'whom' is not defined\n"
        "  where:    it.prompty:8\n"
        "  expected: one of: who\n"
        "  found:    whom\n"
        "  try:      -p whom=…"
    )


def test_parts_that_are_not_there_leave_no_line() -> None:
    assert format_error(ModelMissingError("it is gone")) == "error: it is gone"


def test_everything_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ModelMissingError("it is gone"))
    print_warnings([RunWarning("a", "the machine is busy", "wait"), RunWarning("b", "hot", "")])
    print_note("done")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "error: it is gone",
        "warning: the machine is busy",
        "  try:      wait",
        "warning: hot",
        "done",
    ]


def test_an_error_can_be_shown_when_little_else_can_be_imported() -> None:
    script = (
        "import sys\n"
        "for name in ('msgspec', 'rich', 'typer'): sys.modules[name] = None\n"
        "from localprompt.errors import MachineError\n"
        "from localprompt.views.messages import print_error\n"
        "print_error(MachineError('it is broken'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == "error: it is broken\n"
