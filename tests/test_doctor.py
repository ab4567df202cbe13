"""What the readings on this machine come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt import doctor, paths
from localprompt.cli.doctor import command
from localprompt.errors import EngineError, MachineError
from localprompt.records.attention import AttentionCost, AttentionTable
from tests.models.tiny_gguf import tiny_gguf


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_everything_is_looked_at_and_only_the_verdict_is_written(tmp_path: Path) -> None:
    found = {finding.name: finding for finding in doctor.diagnose()}
    expected = {"localprompt", "llama.cpp", "build uses", "cpu", "cores", "memory", "home"}
    assert expected < found.keys()
    assert found["models"].command.startswith("localprompt models pull ")
    assert not any(finding.level == "broken" for finding in found.values())
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parent.name for path in written] == ["proof"], "the verdict, and nothing else"


def test_models_that_are_here_are_told_with_the_memory_they_take(tmp_path: Path) -> None:
    from localprompt.models.store import add_model

    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf())
    paths.weights_folder().mkdir(parents=True)
    add_model(path)
    models = next(finding for finding in doctor.diagnose() if finding.name == "models")
    assert "tiny " in models.text
    assert models.text.endswith("peak at n_ctx 4096, estimated")


def test_a_library_that_does_not_open_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> tuple[str, ...]:
        raise EngineError("llama.cpp's library could not be opened", next_step="python -m pip …")

    monkeypatch.setattr("localprompt.engine.llama.library.cpu_features", fail)
    found = next(finding for finding in doctor.diagnose() if finding.name == "llama.cpp")
    assert (found.level, found.advice) == ("broken", "python -m pip …")


def test_what_is_broken_is_named_on_stderr_as_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = [
        doctor.Finding("cores", "2", "ok"),
        doctor.Finding("model card", "cannot be read", "broken"),
        doctor.Finding("history", "damaged", "broken"),
    ]
    monkeypatch.setattr("localprompt.doctor.diagnose", lambda: findings)
    with pytest.raises(MachineError) as told:
        command()
    assert told.value.found == "model card, history"
    assert "cannot be read" in capsys.readouterr().out


def test_attention_is_told_from_what_was_measured() -> None:
    assert doctor.of_attention(()).text.startswith("as llama.cpp chooses")
    in_vain = doctor.of_attention((), given_up=1)
    assert in_vain.text.startswith("measured in vain during the last hour")
    assert (in_vain.level, in_vain.command) == ("slow", "localprompt doctor --measure")
    costs = (AttentionCost(True, 1, 2048, 3e-3), AttentionCost(False, 1, 2048, 1e-3))
    assert "takes 3.0 times as long" in doctor.of_attention([AttentionTable(costs, 1.0)]).text
