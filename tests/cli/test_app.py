"""The table of commands: what it says of each, and what it costs to look at it."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from localprompt.__main__ import run
from localprompt.cli.app import COMMANDS
from tests.cli.conftest import Localprompt

HEAVY = (
    "llama_cpp", "numpy", "sqlite3", "plotly", "scipy", "rich", "jinja2", "yaml", "psutil",
    "jsonschema", "msgspec",
)  # fmt: skip
LISTS_MODULES = f"""
import json, sys
from localprompt.__main__ import run
code = run(sys.argv[1:])
found = sorted(name for name in {HEAVY} if name in sys.modules)
print(json.dumps([code, found]), file=sys.stderr)
"""


def _imported_by(*arguments: str) -> tuple[int, list[str]]:
    """The exit code, and the heavy modules that a process has imported in the end."""
    done = subprocess.run(
        [sys.executable, "-c", LISTS_MODULES, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    code, found = json.loads(done.stderr.splitlines()[-1])
    return code, found


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_is_what_its_code_says(name: str) -> None:
    module = import_module(f"localprompt.cli.{COMMANDS[name].module}")
    assert COMMANDS[name].help.endswith(".")
    if COMMANDS[name].group:
        assert module.app.registered_commands or module.app.registered_groups
    else:
        doc = inspect.getdoc(module.command) or ""
        assert doc.splitlines()[0] == COMMANDS[name].help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_subcommand_has_help_of_its_own(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, "--help"]) == 0
    assert f"Usage: localprompt {name}" in capsys.readouterr().out
    if not COMMANDS[name].group:
        return
    module = import_module(f"localprompt.cli.{COMMANDS[name].module}")
    for command in module.app.registered_commands:
        assert run([name, command.name, "--help"]) == 0
        out = capsys.readouterr().out
        assert f"Usage: localprompt {name} {command.name}" in out
        assert (inspect.getdoc(command.callback) or "?").split("\n")[0][:60] in out


def test_help_imports_nothing_heavy() -> None:
    assert _imported_by("--help") == (0, [])
    assert _imported_by("--version") == (0, [])


def test_the_program_itself_imports_nothing_heavy_for_its_help_either() -> None:
    script = (
        f"import sys, atexit; heavy = {HEAVY};"
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules], file=sys.stderr));"
        "sys.argv = ['localprompt', '--help'];"
        "from localprompt.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "[]"


def test_a_mistyped_command_imports_nothing_heavy_and_brings_the_nearest() -> None:
    assert _imported_by("bnch") == (2, [])


def test_only_the_command_that_was_named_is_imported() -> None:
    script = (
        "import sys; from localprompt.cli.app import build_app; build_app(['ask', 'bench']);"
        "print([m for m in sys.modules if m.startswith('localprompt.cli.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "localprompt.cli.ask" in done.stdout
    assert "localprompt.cli.bench" not in done.stdout


def test_without_arguments_the_help_is_shown(localprompt: Localprompt) -> None:
    ran = localprompt()
    assert ran.code == 2
    assert ran.out == ""
    for name, entry in COMMANDS.items():
        assert name in ran.err
        assert entry.help[:30] in ran.err


def test_help_fits_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("", *COMMANDS):
        run([*name.split(), "--help"])
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_help_names_what_is_compared_as_its_text_does(localprompt: Localprompt) -> None:
    usage = localprompt("compare", "--help").out
    assert usage.splitlines()[0].split()[-2:] == ["{A}", "[B]"]
    assert "A and B are benches, evaluations or runs" in " ".join(usage.split())


@pytest.mark.parametrize(
    ("arguments", "error", "next_step"),
    [
        (["bogus"], "No such command 'bogus'", "localprompt --help"),
        (["modles"], "No such command 'modles'. Did you mean 'models'?", "localprompt --help"),
        (["runs", "lst"], "No such command 'lst'. Did you mean 'list'?", "localprompt runs --help"),
        (["ask", "Hi", "--temprature", "1"], "No such option: --temprature", "localprompt ask"),
        (
            ["ask", "Hi", "there"],
            "Got unexpected extra argument(s) (there)",
            "localprompt ask --help",
        ),
        (["run"], "nothing to run", "localprompt prompts list"),
        (["runs", "show"], "Missing argument", "localprompt runs show --help"),
    ],
)
def test_wrong_usage_says_where_the_right_one_is_described(
    arguments: list[str], error: str, next_step: str, localprompt: Localprompt
) -> None:
    ran = localprompt(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.fields()["error"].startswith(error)
    assert ran.fields()["try"].startswith(next_step)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("localprompt mo", "models"),
        ("localprompt runs ex", "export"),
        ("localprompt ask --n-c", "--n-ctx"),
    ],
)
def test_the_shell_can_complete_commands_and_options(words: str, offered: str) -> None:
    asked = {
        "_LOCALPROMPT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "localprompt"],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert offered in done.stdout.split()


def test_a_bug_keeps_its_traceback(
    localprompt: Localprompt, monkeypatch: pytest.MonkeyPatch, lab_home: Path
) -> None:
    def bug() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("localprompt.doctor.diagnose", bug)
    with pytest.raises(ZeroDivisionError):
        localprompt("doctor")
