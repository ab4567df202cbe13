from __future__ import annotations

from pathlib import Path

import pytest

from tests.finetune.training.tiny_model import write_trainable

PROMPT = """---
name: sort
metadata:
  localprompt:
    choices: [yes, no]
inputs:
  - name: word
    kind: string
    required: true
---
user:
Is {{ word }} good?
"""
ROWS = [(f"word{n}", "yes" if n % 2 else "no") for n in range(12)]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a prompt, examples and a tiny model; an empty home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    write_trainable(tmp_path / "tiny.gguf")
    (tmp_path / "sort.prompty").write_text(PROMPT.replace("yes, no", "'yes', 'no'"))
    write_rows(tmp_path / "train.csv", ROWS)
    return tmp_path


def write_rows(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("word,expected\n" + "".join(f"{word},{answer}\n" for word, answer in rows))
    return path
