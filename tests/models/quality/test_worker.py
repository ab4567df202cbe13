from __future__ import annotations

import io
import sys
from pathlib import Path

import msgspec
import pytest

from localprompt.errors import EngineError, InputError
from localprompt.models.inspect import inspect_model
from localprompt.models.quality import worker
from localprompt.models.quality.measure import Text, load_text, measure_quality
from localprompt.processes import Failed, Parent, attend
from localprompt.records.model import ModelRecord
from localprompt.records.run import RequestedSettings


def record(path: Path) -> ModelRecord:
    info = inspect_model(path)
    return ModelRecord(name="some-model", path=str(path), size_bytes=info.size_bytes)


def test_the_shipped_text_is_english_and_long_enough() -> None:
    text = load_text(None)
    assert text.name == "english.txt"
    assert len(text.text.split()) > 3000


def test_a_text_that_is_no_utf_8_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9")
    with pytest.raises(InputError) as caught:
        load_text(path)
    assert caught.value.where == f"{path}:1"


def test_what_the_worker_cannot_do_is_a_line_with_the_parts_of_the_error() -> None:
    request = worker.Request("/nowhere.gguf", None, "text", 8, RequestedSettings())
    replies = io.BytesIO()
    commands = io.BytesIO(msgspec.json.encode(request) + b"\n")
    code = attend(Parent(commands, replies, worker.Request), worker.answer)
    failed = msgspec.json.decode(replies.getvalue(), type=Failed)
    assert code == 3
    assert failed.message
    assert not failed.wrong_input


def test_a_worker_that_dies_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    model = ModelRecord(name="m", path=str(tmp_path / "m.gguf"))
    command = (sys.executable, "-c", "import sys; sys.exit('no more')")
    with pytest.raises(EngineError) as caught:
        measure_quality(model, None, Text("t", "words"), force=True, command=command)
    assert caught.value.found is not None
    assert "exit code 1" in caught.value.found
    assert "no more" in caught.value.found


def test_a_model_beside_itself_is_measured_in_a_process_of_its_own(
    starter_model: Path,
) -> None:
    told: list[tuple[int, int]] = []
    words = "The quick brown fox jumps over the lazy dog, and nobody minds. " * 12
    found = measure_quality(
        record(starter_model),
        record(starter_model),
        Text("words", words),
        n_ctx=64,
        on_chunk=lambda *step: told.append(step),
    )
    assert found.divergence is not None
    assert found.divergence.kl.value == pytest.approx(0, abs=1e-5)
    assert found.divergence.agreement == 1
    assert found.perplexity == found.parent_perplexity
    assert found.text.chunks == len(told) >= 2
    assert found.perplexity.tokens == found.text.chunks * 31


def test_a_text_that_is_too_short_is_the_users_mistake_in_the_worker_too(
    starter_model: Path,
) -> None:
    with pytest.raises(InputError, match="too short"):
        measure_quality(record(starter_model), None, Text("short", "Too short."))
