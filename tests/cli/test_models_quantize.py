"""The command as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.__main__ import run
from localprompt.models.store import verify_model
from tests.models.quantize.tiny_llama import write_model


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; the folder where weights will lie."""
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


def test_it_says_what_was_lost_what_was_gained_and_what_to_type_next(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_model(tmp_path / "my tiny.gguf", "Q4_1", {"general.file_type": 3})
    assert run(["models", "quantize", str(source), "--to", "q8_0", "--threads", "1"]) == 0
    out, said = capsys.readouterr()
    assert out == ""
    assert "warning: my-tiny is already quantized (Q4_1): quality is lost a second time" in said
    assert "my-tiny-q8_0 is here: " in said
    assert " KiB (Q4_1) → " in said
    assert " KiB (Q8_0), in " in said
    assert "  localprompt ask -m my-tiny-q8_0 'Hello.'" in said
    assert f"-m '{source}' -m my-tiny-q8_0" in said


@pytest.mark.parametrize(
    ("to", "code", "words"),
    [
        ("q4", 2, "expected: one of: "),
        ("f32", 2, "error: tiny is F32 already"),
        ("iq1_s", 3, "found:    this quantization requires an importance matrix"),
    ],
)
def test_what_cannot_be_made_is_explained_without_a_traceback(
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    to: str,
    code: int,
    words: str,
) -> None:
    source = write_model(tmp_path / "tiny.gguf")
    assert run(["models", "quantize", str(source), "--to", to]) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.model
def test_the_starter_model_as_q4_0_loads_and_answers(
    store: Path, starter_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.mkdir(parents=True)
    (store / starter_model.name).symlink_to(starter_model)
    assert run(["models", "quantize", "smollm2-135m", "--to", "q4_0"]) == 0
    assert verify_model("smollm2-135m-q4_0").licence.name == "Apache-2.0"
    assert (store / "smollm2-135m-q4_0.gguf").stat().st_size < starter_model.stat().st_size
    capsys.readouterr()
    question = ["ask", "-m", "smollm2-135m-q4_0", "--no-log", "--temperature", "0"]
    assert run([*question, "--max-tokens", "8", "What is the capital of France?"]) == 0
    assert "Paris" in capsys.readouterr().out
