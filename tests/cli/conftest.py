from __future__ import annotations

import io
from pathlib import Path
from typing import Protocol

import pytest

from localprompt.__main__ import run
from tests.cli.program import Ran


class Localprompt(Protocol):
    def __call__(self, *arguments: str, stdin: bytes = b"") -> Ran: ...


@pytest.fixture
def localprompt(
    lab_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Localprompt:
    """Runs the program in this process, in a home and a working directory of its own."""

    def call(*arguments: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = run(arguments)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return call


@pytest.fixture
def work(lab_home: Path) -> Path:
    """The working directory."""
    return Path.cwd()
