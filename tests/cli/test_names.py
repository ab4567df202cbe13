"""Parts of names, near misses, and what a shell offers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localprompt.cli import names
from localprompt.errors import UnknownNameError
from localprompt.store.history import History
from localprompt.store.newest import newest_ids
from tests.cli.conftest import Localprompt
from tests.sample_runs import make_run


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    known = ["qwen2.5-coder-0.5b", "qwen2.5-coder-0.5b-q8_0", "qwen2.5-coder-1.5b", "smollm2-135m"]
    monkeypatch.setitem(names._KNOWN, "MODEL", lambda: known)


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("1.5b", "qwen2.5-coder-1.5b"),
        ("SMOL", "smollm2-135m"),
        ("0.5b", "qwen2.5-coder-0.5b"),  # not what was made of it
        ("q8_0", "qwen2.5-coder-0.5b-q8_0"),
        ("openai:gpt=1.5b", "openai:gpt=qwen2.5-coder-1.5b"),
        ("qwen2.5-coder-0.5b", "qwen2.5-coder-0.5b"),
        ("smollm2", "smollm2"),  # an alias stays what it is, or becomes the same model's name
        ("nothing", "nothing"),
        ("./1.5b", "./1.5b"),
        ("models/1.5b", "models/1.5b"),
        ("5", "5"),
        ("", ""),
    ],
)
def test_a_part_that_only_one_has_stands_for_the_whole(typed: str, means: str) -> None:
    found = names.full_name(typed, "MODEL")
    assert found == means or (typed == "smollm2" and found == "smollm2-135m")


@pytest.mark.usefixtures("models")
def test_a_part_of_several_names_is_refused_with_all_of_them() -> None:
    with pytest.raises(
        UnknownNameError, match="'coder' is a part of more than one model's name"
    ) as e:
        names.full_name("coder", "MODEL")
    assert "qwen2.5-coder-1.5b" in e.value.nearest


@pytest.mark.usefixtures("models")
def test_a_file_of_that_name_is_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1.5b").write_text("weights")
    assert names.full_name("1.5b", "MODEL") == "1.5b"


def test_prompts_and_models_are_found_by_their_parts_in_commands(
    localprompt: Localprompt, lab_home: Path
) -> None:
    assert "classify-sentiment" in localprompt("prompts", "show", "sentiment").out
    assert "qwen2.5-coder-1.5b" in localprompt("models", "verify", "1.5").err
    ran = localprompt("models", "show", "qwen")
    assert ran.code == 2
    assert ran.fields()["error"].startswith("'qwen' is a part of more than one model's name")


def test_a_command_that_deletes_takes_full_names_only(
    localprompt: Localprompt, lab_home: Path
) -> None:
    ran = localprompt("models", "remove", "135m")
    assert ran.code == 2
    assert ran.fields()["error"] == "no model is called '135m'"
    assert "smollm2-135m" in ran.fields()["expected"]


def _offered(words: str, home: Path, shell: str = "bash") -> list[str]:
    place = len(words.split()) - (not words.endswith(" "))
    asked = {
        "_LOCALPROMPT_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(place),
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "LOCALPROMPT_HOME": str(home),
    }
    done = subprocess.run(
        [sys.executable, "-m", "localprompt"],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [line.split("\t")[0] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("localprompt ask -m q", "qwen2.5-coder-0.5b"),
        ("localprompt models show smol", "smollm2-135m"),
        ("localprompt eval --judge smol", "smollm2-135m"),
        ("localprompt run summ", "summarize"),
        ("localprompt bench summ", "summarize"),
        ("localprompt models quantize m --to q8", "q8_0"),
        ("localprompt ask --type-k q8", "q8_0"),
        ("localprompt runs list --kind ev", "eval"),
        ("localprompt runs show la", "last"),
        ("localprompt choose --sc", "--scoring"),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_shell_offers_models_prompts_types_and_kinds(
    words: str, offered: str, shell: str, tmp_path: Path
) -> None:
    assert offered in _offered(words, tmp_path, shell)


def test_a_shell_offers_the_ids_of_what_was_made_last(tmp_path: Path) -> None:
    runs = [make_run(n) for n in range(3)]
    with History(tmp_path / "history.db") as history:
        for run in runs:
            history.record(run)
    found = _offered("localprompt runs show 0", tmp_path)
    assert found == sorted((run.id for run in runs), reverse=True)
    assert newest_ids(tmp_path / "history.db", 1) == [(found[0], runs[0].kind)]


def test_a_history_that_cannot_be_read_offers_nothing_and_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_text("not a database")
    assert newest_ids(tmp_path / "history.db") == []
    assert newest_ids(tmp_path / "none.db") == []
    assert _offered("localprompt runs show 0", tmp_path) == []


def test_completing_imports_no_engine_and_only_the_command_that_is_typed(tmp_path: Path) -> None:
    script = (
        "import sys, atexit; sys.argv=['localprompt'];"
        "atexit.register(lambda: print(sorted(m for m in sys.modules if m in "
        "('llama_cpp', 'numpy', 'rich', 'jinja2', 'yaml', 'psutil') or "
        "m.startswith('localprompt.cli.')), file=sys.stderr));"
        "from localprompt.__main__ import main; main()"
    )
    asked = {"_LOCALPROMPT_COMPLETE": "complete_bash", "COMP_WORDS": "localprompt ask -m q",
             "COMP_CWORD": "3", "LOCALPROMPT_HOME": str(tmp_path)}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    imported = done.stderr.splitlines()[-1]
    assert "qwen2.5-coder-0.5b" in done.stdout
    assert "localprompt.cli.bench" not in imported
    for heavy in ("llama_cpp", "numpy", "rich", "jinja2", "yaml", "psutil"):
        assert f"'{heavy}'" not in imported
