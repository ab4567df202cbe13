"""The tiny model, what a child can do with it, and what becomes of that."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from localprompt.engine.llama.engine import LlamaEngine
from localprompt.engine.llama.proof import gate, tiny, verdict
from localprompt.errors import EXIT_MACHINE, EngineError
from localprompt.measure import machine
from localprompt.records.proof import PathVerdict, Proof
from localprompt.records.run import RequestedSettings
from tests.engine import tiny_reference

RIGHT = json.loads(verdict.REFERENCE.read_bytes())
GOOD = PathVerdict(error=0.001)
DEAD = PathVerdict("it dies of SIGILL")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(gate.VARIABLE, raising=False)
    gate._settled.cache_clear()
    return tmp_path / "home"


def keep(proof: Proof) -> None:
    path = gate.verdict_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(as_json(proof)).encode())
    gate._settled.cache_clear()


def as_json(proof: Proof) -> dict[str, object]:
    return {
        "plain": {"wrong": proof.plain.wrong, "error": proof.plain.error},
        "extra": {"wrong": proof.extra.wrong, "error": proof.extra.error},
        "buffers": list(proof.buffers),
        "seconds": proof.seconds,
    }


def double(*script: str) -> tuple[str, ...]:
    """A child that says and does what the script tells."""
    prelude = (
        "import json, os, signal, sys, time",
        f"right = json.loads(open({str(verdict.REFERENCE)!r}).read())",
        "def say(path, logits):",
        "    said = {'is': 'computed', 'path': path, 'logits': logits, 'buffers': [path]}",
        "    print(json.dumps(said), flush=True)",
    )
    return (sys.executable, "-c", "\n".join((*prelude, *script)))


def test_the_shipped_logits_are_those_of_the_model() -> None:
    again = np.array(tiny_reference.logits(tiny_reference.weights()))
    assert np.abs(again - np.array(RIGHT)).max() < 1e-4


def test_the_installed_library_computes_right_on_both_paths() -> None:
    proof = verdict.prove()
    assert proof is not None
    assert proof.plain.wrong is None
    assert proof.extra.wrong is None


def test_no_matrix_can_be_wrong_without_being_seen() -> None:
    weights = tiny_reference.weights()
    matrices = [name for name, weight in weights.items() if weight.ndim == 2]
    assert {tensor.type for tensor in tiny.tensors()} >= {"Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K"}
    for name in matrices:
        eighth = weights[name].copy()
        eighth[:, : eighth.shape[1] // 8] = 0
        for wrong in (-weights[name], eighth):
            found = tiny_reference.logits({**weights, name: wrong})
            assert verdict._compared(found).wrong is not None, name


def test_a_child_that_dies_in_the_extra_path_leaves_the_plain_one() -> None:
    proof = verdict.prove(double("say('plain', right)", "os.kill(os.getpid(), signal.SIGILL)"))
    assert proof is not None
    assert proof.plain.wrong is None
    assert proof.extra.wrong is not None
    assert "SIGILL" in proof.extra.wrong


def test_a_child_that_dies_at_once_leaves_nothing() -> None:
    proof = verdict.prove(double("os.abort()"))
    assert proof is not None
    assert proof.plain.wrong is not None
    assert "SIGABRT" in proof.plain.wrong


@pytest.mark.parametrize("wrong", ["-x", "x * 1.2", "None"])
def test_wrong_numbers_are_seen(wrong: str) -> None:
    proof = verdict.prove(
        double("say('plain', right)", f"say('extra', [[{wrong} for x in row] for row in right])")
    )
    assert proof is not None
    assert proof.plain.wrong is None
    assert proof.extra.wrong is not None
    assert "wrong numbers" in proof.extra.wrong


def test_a_child_that_hangs_is_ended() -> None:
    proof = verdict.prove(double("say('plain', right)", "time.sleep(60)"), seconds=1.0)
    assert proof is not None
    assert proof.plain.wrong is None
    assert proof.extra.wrong is not None
    assert "hangs" in proof.extra.wrong


@pytest.mark.parametrize(
    "script",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",  # the system, for want of memory
        "sys.exit(1)",
        "print('hello')",
        "say('plain', right[:2]); say('extra', right)",
    ],
)
def test_what_shows_nothing_is_no_verdict(script: str) -> None:
    assert verdict.prove(double(script)) is None


def test_a_verdict_is_made_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def prove() -> Proof:
        made.append(1)
        return Proof(GOOD, GOOD, ("AMX",), 0.1)

    monkeypatch.setattr(verdict, "prove", prove)
    assert gate.passed() == gate.passed()
    gate._settled.cache_clear()
    assert gate.passed() == Proof(GOOD, GOOD, ("AMX",), 0.1)
    assert len(made) == 1
    gate.verdict_path().write_bytes(b'{"plain": 3')
    gate._settled.cache_clear()
    gate.passed()
    assert len(made) == 2, "a file that cannot be read is made again"
    gate._settled.cache_clear()
    gate.passed()
    assert len(made) == 2, "and is whole then"


def test_a_home_that_cannot_be_written_costs_a_verdict_each_time(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write_text("no folder")
    monkeypatch.setattr(verdict, "prove", lambda: Proof(GOOD, GOOD, (), 0.1))
    assert gate.passed() is not None


def test_another_cpu_and_another_library_have_verdicts_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = set()
    for cpu in (("one", frozenset({"avx2"})), ("one", frozenset({"avx512f"})), ("two", None)):
        monkeypatch.setattr(machine, "cpu_identity", lambda cpu=cpu: cpu)
        gate._key.cache_clear()
        found.add(gate.verdict_path())
    monkeypatch.setattr(gate, "_files", lambda: [("libllama.so", 1, 2, 3)])
    gate._key.cache_clear()
    found.add(gate.verdict_path())
    gate._key.cache_clear()
    assert len(found) == 4


def test_without_the_plain_path_nothing_is_opened(starter_model: Path) -> None:
    keep(Proof(DEAD, DEAD, (), 0.1))
    with pytest.raises(EngineError, match="does not work on this CPU") as caught:
        LlamaEngine(starter_model)
    assert caught.value.exit_code == EXIT_MACHINE
    assert gate.rebuild_command() in (caught.value.next_step or "")


def test_without_the_extra_path_models_are_opened_plain_and_that_is_said(
    starter_model: Path,
) -> None:
    keep(Proof(GOOD, DEAD, (), 0.1))
    with LlamaEngine(starter_model, RequestedSettings(n_ctx=256)) as engine:
        engine.prepare(RequestedSettings(), n_ctx=256)
        assert not engine.settings.repack
        (remark,) = engine.remarks
    assert "SIGILL" in remark.message
    assert gate.rebuild_command() in remark.advice
    with LlamaEngine(starter_model, RequestedSettings(repack=False)) as engine:
        assert engine.remarks == (), "who asked for it need not be told"


@pytest.mark.parametrize("way", ["variable", "argument"])
def test_the_gate_can_be_passed_by(
    way: str, starter_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(Proof(DEAD, DEAD, (), 0.1))
    if way == "variable":
        monkeypatch.setenv(gate.VARIABLE, "off")
    with LlamaEngine(starter_model, vocab_only=True, prove=way == "variable") as engine:
        assert engine.remarks == ()
