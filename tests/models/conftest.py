from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.tiny_gguf import tiny_gguf


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, an empty working directory; the folder where weights will lie."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    """A small, valid GGUF file outside of the store."""
    path = tmp_path / "elsewhere" / "Tiny Model.gguf"
    path.parent.mkdir()
    path.write_bytes(tiny_gguf())
    return path
