"""The command as a person types it, and what is wrong before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.__main__ import run
from localprompt.store.history import History
from tests.views.test_improve import FOUND

PROMPT = """---
name: tone
inputs: [{name: text, kind: string, required: true}]
metadata: {localprompt: {choices: [good, bad]}}
---
user:
{{ text }}
"""


def rows(count: int, labels: tuple[str, str] = ("good", "bad")) -> str:
    return "text,expected\n" + "".join(f"case {at},{labels[at % 2]}\n" for at in range(count))


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    (tmp_path / "tone.prompty").write_text(PROMPT)
    (tmp_path / "few.csv").write_text(rows(20))
    (tmp_path / "enough.csv").write_text(rows(60))
    (tmp_path / "one-label.csv").write_text(rows(60, ("good", "good")))
    (tmp_path / "no-choice.csv").write_text(rows(60, ("good", "fair")))
    (tmp_path / "there.prompty").write_text("mine")
    (tmp_path / "wordings.md").write_text("Say it: {{ txet }}\n")
    return tmp_path / "tone.prompty"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "has no cases"),
        (("--cases", "nowhere.csv"), "no such file of cases"),
        (("--cases", "few.csv"), "too few cases to find a better prompt and prove it"),
        (("--cases", "one-label.csv"), "all cases have the same answer"),
        (("--cases", "no-choice.csv"), "the expected answer is not one of the choices"),
        (("--cases", "enough.csv", "--final", "enough.csv"), "not enough cases to split"),
        (("--cases", "enough.csv", "--search", "luck"), "expected: wordings, examples, scoring"),
        (("--cases", "enough.csv", "--metric", "bleu"), "the cases have no metric of that name"),
        (("--cases", "enough.csv", "-o", "there.prompty"), "the file exists already"),
        (("--cases", "enough.csv", "-o", "better.txt"), "a name that ends in .prompty"),
        (("--cases", "enough.csv", "-o", "nowhere/better.prompty"), "no such folder"),
        (("--cases", "enough.csv", "--wordings", "wordings.md"), "the prompt's variables"),
        (("--cases", "enough.csv", "--labels", "few.csv"), "not of the prompt's choices"),
        (("--cases", "enough.csv", "--labels", "nowhere.yaml"), "no such file"),
        (("--cases", "enough.csv", "--nearest-by", "smollm3"), "no model is called"),
        (("--cases", "enough.csv", "-m", "smollm3"), "smollm2"),
        (("--format", "xml"), "expected: table, json"),
        (("--resume", "last"), "--resume takes no prompt"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    arguments: tuple[str, ...],
    words: str,
    tone: Path,
    lab_home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tone.parent)
    assert run(["improve", "tone.prompty", *arguments]) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert words in " ".join(said.split())
    assert (tone.parent / "there.prompty").read_text() == "mine"


def test_nothing_to_improve_says_what_to_type(
    lab_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["improve"]) == 2
    assert "localprompt improve classify-sentiment" in capsys.readouterr().err


def test_a_search_is_shown_again_and_reported(
    lab_home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with History() as store:
        store.keep(FOUND)
    assert run(["runs", "show", FOUND.id[:12]]) == 0
    assert "gain shown" in capsys.readouterr().out
    page = tmp_path / "improve.html"
    assert run(["report", "last", "-o", str(page)]) == 0
    assert "gain shown" in page.read_text()
