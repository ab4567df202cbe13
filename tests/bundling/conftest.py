"""Small bundles for tests: a model of a few kilobytes, a prompt with cases, a suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.bundling.make import Made, Wanted, make
from localprompt.models.store import add_model
from tests.models.tiny_gguf import tiny_gguf

PROMPT = """---
name: say
inputs:
  text: {kind: string, required: true}
metadata:
  localprompt:
    cases: say.jsonl
---
user:
Say {{ text }}.
"""
SUITE = """prompts: [file://prompts/*.prompty]
providers: [tiny]
tests: file://rows.csv
"""


@pytest.fixture
def near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The side with a network: a home with a model called tiny; the current folder has a prompt
    and a suite."""
    near = tmp_path / "near"
    (near / "work" / "prompts").mkdir(parents=True)
    monkeypatch.setenv("LOCALPROMPT_HOME", str(near / "home"))
    monkeypatch.chdir(near / "work")
    Path("prompts/say.prompty").write_text(PROMPT)
    Path("prompts/say.jsonl").write_text('{"text": "red", "expected": "red"}\n')
    Path("suites/prompts").mkdir(parents=True)
    Path("suites/colours.yaml").write_text(SUITE)
    Path("suites/prompts/colour.prompty").write_text(PROMPT.replace("say", "colour"))
    Path("suites/prompts/colour.jsonl").write_text('{"text": "blue"}\n')
    Path("suites/rows.csv").write_text("text,__expected\nred,contains:red\n")
    Path("suites/notes.txt").write_text("not part of the suite")
    weights = near / "home" / "models" / "tiny.gguf"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(tiny_gguf())
    add_model(weights, name="tiny")
    return near


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Made) -> Path:
    """The side without: an empty home, reached after the bundle was made."""
    home = tmp_path / "far"
    monkeypatch.setenv("LOCALPROMPT_HOME", str(home))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return home


def wanted(near: Path, name: str = "kit.tar") -> Wanted:
    """A bundle of everything but wheels."""
    return Wanted(
        output=near / name,
        models=("tiny",),
        prompts=(Path("prompts"),),
        suites=(Path("suites/colours.yaml"),),
    )


@pytest.fixture
def made(near: Path) -> Made:
    return make(wanted(near))
