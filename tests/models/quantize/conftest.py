from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.quantize.tiny_llama import write_model


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, an empty working directory; the folder where weights will lie."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A small F32 model outside of the store."""
    return write_model(tmp_path / "elsewhere" / "Tiny.F32.gguf")
