from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a history may be made; neither the file nor its folder is there yet."""
    return tmp_path / "home" / "history.db"
