"""A cell is executed and what happened is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localprompt import paths
from localprompt.engine.scripted import ScriptedEngine
from localprompt.errors import EngineError
from localprompt.running.run import run_one
from localprompt.store.history import History
from tests.running.test_execute import cell

SAYS: list[bytes | BaseException] = [b"Once ", b"upon "]


@pytest.fixture(autouse=True)
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ScriptedEngine]]:
    """The engines that were opened."""
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    opened: list[ScriptedEngine] = []

    def opens(_: object) -> ScriptedEngine:
        opened.append(ScriptedEngine(lambda _: SAYS))
        return opened[-1]

    monkeypatch.setattr("localprompt.running.run.open_llama", opens)
    yield opened
    SAYS[:] = [b"Once ", b"upon "]


def test_a_run_is_in_the_history_with_its_samples() -> None:
    outcome = run_one(cell())
    assert outcome.not_recorded is None
    record = outcome.execution.record
    with History(read_only=True) as history:
        assert history.get("last") == record
        assert history.samples(record.id) == outcome.execution.samples


def test_without_a_log_there_is_no_history() -> None:
    assert run_one(cell(), log=False).execution.record.output.text == "Once upon "
    assert not paths.home().exists()


@pytest.mark.parametrize(
    ("ends_with", "reason"),
    [(KeyboardInterrupt(), "interrupted"), (EngineError("no"), "error")],
)
def test_half_an_answer_is_recorded_as_one(ends_with: BaseException, reason: str) -> None:
    SAYS.append(ends_with)
    outcome = run_one(cell())
    with History(read_only=True) as history:
        record = history.get("last")
    assert (record.output.text, record.output.finish_reason) == ("Once upon ", reason)
    assert outcome.execution.failure is (ends_with if reason == "error" else None)


def test_a_history_that_cannot_be_written_is_handed_back_beside_the_answer() -> None:
    paths.home().write_text("a file")
    outcome = run_one(cell())
    assert outcome.execution.record.output.text == "Once upon "
    assert outcome.not_recorded is not None
    assert outcome.not_recorded.where == str(paths.history_path())


def test_text_is_handed_on_as_it_comes() -> None:
    shown: list[str] = []
    run_one(cell(), log=False, on_text=shown.append)
    assert shown == ["Once ", "upon "]


def test_the_model_is_closed_whatever_happens(scripted: list[ScriptedEngine]) -> None:
    SAYS.append(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        run_one(cell(), log=False)
    with pytest.raises(RuntimeError, match="prepare"):
        assert scripted[0].settings  # closed: there is no context any more
