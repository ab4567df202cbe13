"""A build of llama.cpp that does not work here: what a user sees of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from localprompt.engine.llama.proof import gate
from localprompt.records.proof import PathVerdict, Proof
from tests.cli.program import SHORT, completed

pytestmark = pytest.mark.model

DEAD = PathVerdict("it dies of SIGILL")


def keep(proof: Proof) -> None:
    path = gate.verdict_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(proof))


@pytest.fixture(autouse=True)
def asked(lab_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(gate.VARIABLE)
    return lab_home


def test_a_first_run_proves_the_library_and_says_nothing_of_it(asked: Path) -> None:
    ran = completed("ask", "Hello", *SHORT)
    assert ran.code == 0
    assert "llama.cpp" not in ran.err
    assert msgspec.json.decode(gate.verdict_path().read_bytes(), type=Proof).plain.wrong is None


def test_kernels_that_die_are_left_out_with_the_command_that_mends_them() -> None:
    keep(Proof(PathVerdict(), DEAD, (), 0.1))
    ran = completed("ask", "Hello", *SHORT)
    assert ran.code == 0
    assert ran.out.strip()
    assert "it dies of SIGILL" in ran.err
    assert gate.rebuild_command() in ran.err


def test_a_library_that_does_not_work_ends_with_3_and_the_command_that_mends_it() -> None:
    keep(Proof(DEAD, DEAD, (), 0.1))
    ran = completed("ask", "Hello", *SHORT)
    assert ran.code == 3
    assert ran.fields()["error"] == "this build of llama.cpp does not work on this CPU"
    assert gate.rebuild_command() in ran.fields()["try"]
    assert completed("ask", "Hello", "--force", *SHORT).code == 0
    assert completed("ask", "Hello", *SHORT, env={gate.VARIABLE: "off"}).code == 0
