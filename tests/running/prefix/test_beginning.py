"""Cells with a long constant beginning, through the scripted engine and a store of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from localprompt.engine.scripted import ScriptedEngine
from localprompt.errors import EngineError
from localprompt.records.cell import Cell, PrefixUse
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import InputSpec, PromptTemplate
from localprompt.records.received import LEAST_KEPT_TOKENS
from localprompt.records.run import RequestedSettings, RunWarning, Sampling
from localprompt.running.execute import Execution, execute
from localprompt.running.prefix.beginning import NOT_KEPT

CONSTANT = 100


@pytest.fixture(autouse=True)
def prefixes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where states are kept."""
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "cache" / "prefixes"


def _cell(
    prefix: PrefixUse = "kept", *, words: int = CONSTANT, text: str = "one two", sha: str = "f" * 64
) -> Cell:
    body = "system:\n" + "word " * words + "\nuser:\n{{ text }}"
    return Cell(
        kind="run",
        model=ModelRecord("scripted", "nowhere.gguf", sha256=sha),
        template=PromptTemplate(name="it", body=body, inputs=(InputSpec("text", required=True),)),
        params={"text": text},
        sampling=Sampling(max_tokens=4),
        settings=RequestedSettings(n_batch=64),
        force=True,
        prefix=prefix,
    )


class Ran(msgspec.Struct, frozen=True):
    execution: Execution
    batches: list[int]
    """How many tokens each held."""

    @property
    def reused(self) -> int:
        return self.execution.record.tokens.reused

    @property
    def not_kept(self) -> list[RunWarning]:
        return [w for w in self.execution.record.warnings if w.code == NOT_KEPT]


def _run(cell: Cell, *pieces: bytes | BaseException) -> Ran:
    said: Sequence[bytes | BaseException] = pieces or (b"yes ", b"no")
    engine = ScriptedEngine(lambda _: said)
    execution = execute(cell, lambda _: engine)
    return Ran(execution, [len(batch) for batch in engine.decoded])


def test_a_second_run_evaluates_only_the_rest(prefixes: Path) -> None:
    first = _run(_cell())
    second = _run(_cell(text="three four five"))
    assert first.reused == 0
    assert second.reused >= CONSTANT
    rest = second.execution.record.tokens.prompt - second.reused
    assert second.batches[0] == rest
    assert first.execution.record.output.text == second.execution.record.output.text == "yes no"
    assert len(list(prefixes.iterdir())) == 1
    assert not first.not_kept + second.not_kept


def test_with_and_without_the_store_the_same_batches_follow_the_beginning() -> None:
    kept, apart, whole = _run(_cell()), _run(_cell("apart")), _run(_cell("whole"))
    again = _run(_cell())
    assert kept.batches == apart.batches
    assert kept.batches[-len(again.batches) :] == again.batches
    assert whole.batches[0] == 64  # the batches of the whole prompt fall elsewhere
    assert whole.batches != apart.batches


def test_without_the_store_nothing_is_written_or_found(prefixes: Path) -> None:
    for prefix in ("apart", "whole"):
        ran = _run(_cell(prefix))
        assert ran.reused == 0
        assert ran.execution.record.timing.prefix_store_seconds is None
    assert not prefixes.exists()
    _run(_cell())
    assert _run(_cell("apart")).reused == 0


def test_a_short_beginning_is_not_kept(prefixes: Path) -> None:
    assert _run(_cell(words=LEAST_KEPT_TOKENS - 10)).execution.record.output.text == "yes no"
    assert not prefixes.exists()


def test_a_prompt_without_values_leaves_its_last_token_to_evaluate() -> None:
    cell = _cell()
    fixed = msgspec.structs.replace(cell.template, body="user:\n" + "word " * 90, inputs=())
    cell = msgspec.structs.replace(cell, template=fixed, params={})
    _run(cell)
    again = _run(cell)
    assert again.reused == again.execution.record.tokens.prompt - 1
    assert again.batches[0] == 1


def test_nothing_of_a_value_is_in_the_file(prefixes: Path) -> None:
    secret = "c0rrect horse"
    _run(_cell(text=secret))
    _run(_cell(text="another"))
    (file,) = prefixes.iterdir()  # the same one for both
    assert _run(_cell(text="a third")).reused
    assert secret.encode() not in file.read_bytes()


@pytest.mark.parametrize("change", ["weights", "n_ubatch", "words"])
def test_another_model_setting_or_text_does_not_find_it(change: str) -> None:
    _run(_cell())
    cell = _cell()
    if change == "weights":
        cell = _cell(sha="e" * 64)
    elif change == "n_ubatch":
        cell = msgspec.structs.replace(cell, settings=RequestedSettings(n_batch=64, n_ubatch=32))
    else:
        cell = _cell(words=CONSTANT + 1)
    assert _run(cell).reused == 0


def test_weights_without_a_known_digest_are_not_kept(prefixes: Path) -> None:
    unknown = _cell()
    unknown = msgspec.structs.replace(
        unknown, model=msgspec.structs.replace(unknown.model, sha256=None)
    )
    assert _run(unknown).execution.record.output.text == "yes no"
    assert not prefixes.exists()


def test_a_damaged_file_is_evaluated_again_and_replaced(prefixes: Path) -> None:
    _run(_cell())
    (file,) = prefixes.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    damaged = _run(_cell())
    assert damaged.reused == 0
    assert not damaged.not_kept
    assert file.read_bytes() == whole
    assert _run(_cell()).reused


def test_a_home_that_cannot_be_written_costs_a_remark(prefixes: Path) -> None:
    prefixes.parent.parent.mkdir()
    prefixes.parent.write_text("a file where the cache should be")
    ran = _run(_cell())
    assert ran.execution.record.output.text == "yes no"
    (warning,) = ran.not_kept
    assert "cannot write" in warning.message
    assert "LOCALPROMPT_HOME" in warning.advice


def test_a_state_that_cannot_be_written_costs_a_remark_and_leaves_nothing(
    prefixes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise EngineError("the state could not be written", found="No space left on device")

    monkeypatch.setattr(ScriptedEngine, "save_prefix", full)
    ran = _run(_cell())
    assert ran.execution.record.output.text == "yes no"
    (warning,) = ran.not_kept
    assert "No space left" in warning.message
    assert list(prefixes.iterdir()) == []


def test_a_file_that_is_evicted_between_finding_and_reading_is_evaluated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _run(_cell())
    monkeypatch.setattr(ScriptedEngine, "restore_prefix", lambda *_: False)
    again = _run(_cell())
    assert (again.reused, again.execution.record.output.text) == (0, "yes no")


def test_an_interrupted_answer_leaves_the_beginning_for_the_next_run() -> None:
    stopped = _run(_cell(), b"yes ", KeyboardInterrupt())
    assert stopped.execution.record.output.finish_reason == "interrupted"
    assert _run(_cell()).reused


def test_a_failure_before_the_first_token_leaves_no_file(
    prefixes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise EngineError("no")

    monkeypatch.setattr(ScriptedEngine, "generate", fails)
    with pytest.raises(EngineError):
        _run(_cell())
    assert list(prefixes.iterdir()) == []


def test_the_store_is_part_of_ttft_and_not_of_prefill() -> None:
    for ran in (_run(_cell()), _run(_cell())):
        timing = ran.execution.record.timing
        assert timing.prefix_store_seconds is not None
        assert timing.prefill_seconds is not None
        assert timing.ttft_seconds is not None
        assert timing.prefix_store_seconds > 0
        assert timing.prefill_seconds + timing.prefix_store_seconds <= timing.ttft_seconds


def test_a_folder_that_may_only_be_read_still_serves(prefixes: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("permissions do not hold for root")
    _run(_cell())
    prefixes.chmod(0o500)
    try:
        assert _run(_cell()).reused
    finally:
        prefixes.chmod(0o700)
