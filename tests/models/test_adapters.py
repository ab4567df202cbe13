"""Adapters as they are typed, added and found again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from localprompt.errors import (
    ChecksumError,
    InputError,
    ModelFileError,
    ModelMissingError,
    UnknownNameError,
)
from localprompt.models.adapters import adapters_of, as_recorded
from localprompt.models.cards import read_card
from localprompt.models.inspect import inspect_model
from localprompt.models.predict import predict_memory
from localprompt.models.store import add_model, list_models
from tests.models.tiny_gguf import tiny_gguf
from tests.models.tiny_lora import lora_gguf


@pytest.fixture
def style(store: Path, tmp_path: Path) -> Path:
    path = tmp_path / "style.gguf"
    path.write_bytes(lora_gguf())
    return path


@pytest.mark.parametrize(
    ("ending", "scale"), [("", 1.0), (":0.8", 0.8), (":-1", -1.0), (":0", 0.0)]
)
def test_a_file_and_its_scale(style: Path, ending: str, scale: float) -> None:
    (use,) = adapters_of([f"{style}{ending}"])
    assert (use.name, use.path, use.scale, use.rank) == ("style", str(style), scale, 2)
    assert use.size_bytes == 4 * (64 * 2 + 2 * 96)
    assert as_recorded((use,)) == (use,)


@pytest.mark.parametrize("scale", ["", "strong", "nan", "inf", "1e9"])
def test_a_scale_that_is_no_number_is_refused(style: Path, scale: str) -> None:
    with pytest.raises(InputError, match="not a scale"):
        adapters_of([f"{style}:{scale}"])


def test_a_colon_in_a_files_name_is_not_a_scale(style: Path) -> None:
    odd = style.rename(style.with_name("a:2"))
    assert adapters_of([str(odd)])[0].scale == 1.0
    assert adapters_of([f"{odd}:0.5"])[0].scale == 0.5


def test_one_adapter_twice_is_refused(style: Path) -> None:
    with pytest.raises(InputError, match="twice"):
        adapters_of([str(style), f"{style}:0.5"])


def test_what_is_not_there_or_no_adapter_is_named(style: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError):
        adapters_of([str(tmp_path / "gone.gguf")])
    with pytest.raises(UnknownNameError):
        adapters_of(["no-such-style"])
    model = tmp_path / "tiny.gguf"
    model.write_bytes(tiny_gguf())
    with pytest.raises(ModelFileError, match="not an adapter"):
        adapters_of([str(model)])


def test_an_adapter_gets_a_card_and_is_called_by_its_name(style: Path, store: Path) -> None:
    card = add_model(style)
    assert (card.kind, card.name, card.licence.name) == ("adapter", "style", "mit")
    (entry,) = [one for one in list_models()[0] if one.card.name == "style"]
    assert entry.state == "present"
    assert read_card(entry.card_file) == card
    (use,) = adapters_of(["style:0.5"])
    assert (use.path, use.sha256) == (str(style), card.sha256)


def test_a_recorded_adapter_that_is_gone_or_changed_is_said(style: Path) -> None:
    (use,) = adapters_of([str(style)])
    with pytest.raises(ChecksumError, match="has changed since"):
        as_recorded([msgspec.structs.replace(use, sha256="0" * 64)])
    style.unlink()
    with pytest.raises(ModelMissingError, match="gone"):
        as_recorded([use])


def test_the_prediction_counts_its_matrices(style: Path, tmp_path: Path) -> None:
    model = tmp_path / "tiny.gguf"
    model.write_bytes(tiny_gguf())
    info = inspect_model(model)
    without = predict_memory(info, n_ctx=128)
    with_it = predict_memory(info, n_ctx=128, adapter_bytes=1000)
    assert with_it.peak_bytes - without.peak_bytes == 1000
