"""The table of attention: measured, kept, believed or not."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from localprompt.engine.llama.engine import LlamaEngine
from localprompt.engine.llama.proof import attention, gate
from localprompt.engine.llama.proof.attention_child import BATCHES, DEPTHS, SEVERAL
from localprompt.measure import machine
from localprompt.records.attention import AttentionTable, Heads, StepCost
from localprompt.records.proof import PathVerdict, Proof
from localprompt.records.run import RequestedSettings
from tests.attention_tables import table

HEADS = Heads(2, 1, 32, 32, "f16", "f16")
MODEL = attention.OfModel("ab" * 32, "f16", "f16", 2, True)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which llama.cpp is known to compute right."""
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path))
    monkeypatch.delenv(gate.VARIABLE, raising=False)
    _proved()
    return tmp_path


def _proved() -> None:
    gate._key.cache_clear()
    gate._settled.cache_clear()
    path = gate.verdict_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(Proof(PathVerdict(), PathVerdict(), (), 0.1)))


def _keep(facts: Heads | attention.OfModel, found: AttentionTable) -> None:
    attention.path_of(facts).write_bytes(msgspec.json.encode(found))


def _never(heads: Heads) -> AttentionTable | None:
    raise AssertionError("nothing was to be measured")


@pytest.mark.model
def test_attention_is_measured_for_a_shape() -> None:
    found = attention.measure(HEADS)
    assert found is not None
    points = 2 * len(BATCHES) * len(DEPTHS)
    several = 4 * sum(len(depths) for depths in SEVERAL.values())
    assert len(found.costs) == points + several
    assert all(cost.seconds > 0 for cost in found.costs)


def test_a_shape_that_llama_cpp_refuses_has_no_table() -> None:
    assert attention.measure(Heads(3, 2, 32, 32, "f16", "f16")) is None


def test_a_table_is_measured_once_and_somebody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(attention, "measure", lambda heads: table())
    found = attention.table(HEADS, on_wait=lambda: told.append("wait"))
    assert (found, told) == (table(), ["wait"])
    monkeypatch.setattr(attention, "measure", _never)
    assert attention.table(HEADS, on_wait=lambda: told.append("again")) == found
    assert told == ["wait"]


def test_where_it_must_not_be_measured_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "measure", _never)
    assert attention.table(HEADS, may_measure=False) is None


def test_a_corrupt_table_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    attention.path_of(HEADS).write_bytes(b'{"costs": [')
    assert attention.damaged() == [attention.path_of(HEADS)]
    monkeypatch.setattr(attention, "measure", lambda heads: table())
    assert attention.table(HEADS) == table()
    assert attention.damaged() == []


def test_a_machine_that_contradicts_itself_is_measured_twice_and_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    absurd = table(lambda flash, tokens, depth: 1.0 / (1 + depth))
    measured: list[Heads] = []

    def measure(heads: Heads) -> AttentionTable:
        measured.append(heads)
        return absurd

    monkeypatch.setattr(attention, "measure", measure)
    assert attention.table(HEADS) is None
    assert len(measured) == 2
    assert not attention.path_of(HEADS).exists()


def test_a_measurement_in_vain_is_not_tried_again_for_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(attention, "measure", lambda heads: None)
    assert attention.table(HEADS, on_wait=lambda: told.append("wait")) is None
    assert attention.table(HEADS, on_wait=lambda: told.append("again")) is None
    assert told == ["wait"]
    assert attention.given_up() == 1
    assert (attention.kept(), attention.damaged()) == ([], [])
    other = msgspec.structs.replace(HEADS, key_length=64)
    monkeypatch.setattr(attention, "measure", lambda heads: table())
    assert attention.table(other) == table(), "another shape is another matter"


@pytest.mark.parametrize("passed", [3600.0, -60.0], ids=["an hour later", "the clock was set back"])
def test_then_it_is_tried_again_and_what_came_of_it_counts(
    passed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "measure", lambda heads: None)
    assert attention.table(HEADS) is None
    now = time.time() + passed
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr(attention, "measure", lambda heads: table())
    assert attention.table(HEADS) == table()
    assert attention.given_up() == 0
    assert not attention._given_up_path(HEADS).exists()


def test_who_asks_for_a_model_is_not_put_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = iter((None, table(whole=1e-3)))
    monkeypatch.setattr(attention, "_asked", lambda command, seconds: next(answers))
    measured = (tmp_path / "m.gguf", MODEL, "mine")
    assert attention.measure_model(*measured, seconds=1) is None
    assert attention.given_up() == 1
    assert attention.measure_model(*measured, seconds=1) is not None
    assert attention.given_up() == 0


def test_a_file_of_another_form_is_neither_used_nor_called_damaged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _keep(HEADS, table())
    monkeypatch.setattr(attention, "_FORM", "000000")
    assert (attention.kept(), attention.damaged()) == ([], [])
    monkeypatch.setattr(attention, "measure", lambda heads: table())
    assert attention.table(HEADS) == table()
    assert len(attention.kept()) == 1


def test_one_that_is_right_the_second_time_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter((table(lambda flash, tokens, depth: 1.0 / (1 + depth)), table()))
    monkeypatch.setattr(attention, "measure", lambda heads: next(found))
    assert attention.table(HEADS) == table()


def test_a_table_of_another_cpu_is_not_this_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    _keep(HEADS, table())
    assert attention.table(HEADS, may_measure=False) == table()
    monkeypatch.setattr(machine, "cpu_identity", lambda: ("Another CPU", frozenset({"avx2"})))
    _proved()
    assert attention.table(HEADS, may_measure=False) is None
    assert attention.kept() == []


def test_a_table_of_before_there_were_several_sequences_is_measured_again() -> None:
    old = AttentionTable(tuple(c for c in table().costs if c.sequences == 1), 1.0)
    _keep(HEADS, old)
    assert attention.table(HEADS, may_measure=False) is None


def test_a_model_that_was_measured_itself_counts_more_than_its_shape() -> None:
    _keep(HEADS, table())
    _keep(MODEL, table(whole=1e-3))
    assert attention.table(HEADS, model=MODEL) == table(whole=1e-3)
    other = msgspec.structs.replace(MODEL, threads=1)
    assert attention.table(HEADS, model=other) == table(), "with other threads it is another"


def test_without_the_gate_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    _keep(HEADS, table())
    monkeypatch.setenv(gate.VARIABLE, "off")
    assert attention.table(HEADS) is None


@pytest.mark.model
def test_steps_are_measured_once_and_the_context_stays_as_it_was(starter_model: Path) -> None:
    settings = RequestedSettings(n_threads=1, n_threads_batch=1)
    with LlamaEngine(starter_model, settings, model_sha256="cd" * 32) as engine:
        engine.prepare(settings, n_ctx=512)
        steps = engine.steps()
        assert engine.settings.n_ctx == 512
        assert [step.tokens for step in steps][:2] == [1, 2]
        seconds = [step.seconds for step in steps]
        assert seconds == sorted(seconds)
        assert engine.steps() == steps
    with LlamaEngine(starter_model, settings) as unnamed:
        assert unnamed.steps() == (), "there is no name to keep it by"


def test_steps_that_cannot_be_read_are_measured_again() -> None:
    attention.keep_steps(MODEL, (StepCost(1, 0.1),))
    assert attention.kept_steps(MODEL) == (StepCost(1, 0.1),)
    attention._steps_path(MODEL).write_bytes(b"[{]")
    assert attention.kept_steps(MODEL) is None
