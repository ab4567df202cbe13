"""What may be made of what."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.errors import (
    ChecksumError,
    InputError,
    ModelFileError,
    ModelMissingError,
    UnknownNameError,
)
from localprompt.models.cards import ModelCard, write_card
from localprompt.models.checksum import sha256_of
from localprompt.models.quantize.job import FILE_TYPE_IDS, prepare
from localprompt.models.store import add_model
from localprompt.records.model import Licence
from tests.models.quantize.tiny_llama import write_model


def test_the_child_is_called_after_its_parent_and_its_type(store: Path, original: Path) -> None:
    add_model(original, name="tiny")
    job = prepare("tiny", "Q4_0")
    assert job.name == "tiny-q4_0"
    assert job.target == store / "tiny-q4_0.gguf"
    assert (job.source, job.source_type, job.file_type) == (original, "F32", "Q4_0")
    assert job.warnings == ()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("q4_k", "Q4_K_M"), ("Q3_K", "Q3_K_M"), (" q8_0 ", "Q8_0"), ("bf16", "BF16")],
)
def test_types_are_llama_cpps_in_any_case_and_with_its_short_names(
    store: Path, original: Path, typed: str, meant: str
) -> None:
    assert prepare(str(original), typed).file_type == meant


def test_an_unknown_type_is_answered_with_the_nearest_and_with_all(
    store: Path, original: Path
) -> None:
    with pytest.raises(UnknownNameError) as caught:
        prepare(str(original), "q4_km")
    assert caught.value.nearest[0] == "q4_k_m"
    assert all(name.lower() in str(caught.value.next_step) for name in FILE_TYPE_IDS)
    with pytest.raises(UnknownNameError):
        prepare(str(original), "")


def test_the_type_that_it_has_already_is_refused(store: Path, original: Path) -> None:
    with pytest.raises(InputError, match="is F32 already"):
        prepare(str(original), "f32")


def test_a_file_without_a_card_is_a_parent_with_its_own_licence(
    store: Path, original: Path
) -> None:
    job = prepare(str(original), "q8_0")
    assert job.name == "tiny.f32-q8_0"
    assert job.parent.sha256 == sha256_of(original)
    assert job.parent.licence == Licence("mit")
    assert not store.exists()


def test_a_name_is_never_longer_than_a_name_may_be(store: Path, original: Path) -> None:
    add_model(original, name="a" * 100)
    name = prepare("a" * 100, "q4_0").name
    assert name == "a" * 95 + "-q4_0"


@pytest.mark.parametrize(
    ("to", "code", "words"),
    [("q4_0", "quantized_twice", "a second time"), ("f16", "unpacked", "does not get back")],
)
def test_quantizing_what_is_quantized_is_said_clearly(
    store: Path, tmp_path: Path, to: str, code: str, words: str
) -> None:
    source = write_model(tmp_path / "tiny.gguf", "Q4_1", {"general.file_type": 3})
    (warning,) = prepare(str(source), to).warnings
    assert warning.code == code
    assert words in warning.message
    assert "Q4_1" in warning.message


def test_a_child_that_is_here_is_made_again_only_by_force(store: Path, original: Path) -> None:
    parent = add_model(original, name="tiny")
    write_model(store / "tiny-f16.gguf", "F16")
    add_model(store / "tiny-f16.gguf", parent=parent)
    with pytest.raises(InputError, match="tiny-f16 exists already") as caught:
        prepare("tiny", "f16")
    assert "localprompt models quantize tiny --to f16 --force" in str(caught.value.next_step)
    assert prepare("tiny", "f16", force=True).target == store / "tiny-f16.gguf"


def test_a_child_whose_file_is_gone_is_made_again(store: Path, original: Path) -> None:
    add_model(original, name="tiny")
    add_model(write_model(store / "tiny-f16.gguf", "F16"))
    (store / "tiny-f16.gguf").unlink()
    assert prepare("tiny", "f16").name == "tiny-f16"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("registered", [None, "tiny-f16", "another"])
def test_a_file_that_somebody_put_there_is_never_written_over(
    store: Path, original: Path, force: bool, registered: str | None
) -> None:
    add_model(original, name="tiny")
    theirs = write_model(store / "tiny-f16.gguf", "F16")
    if registered:
        add_model(theirs, name=registered)
    with pytest.raises(InputError, match=r"where tiny-f16 would go|exists already"):
        prepare("tiny", "f16", force=force)


@pytest.mark.parametrize("force", [False, True])
def test_another_model_of_that_name_is_never_replaced(
    store: Path, original: Path, tmp_path: Path, force: bool
) -> None:
    add_model(original, name="tiny")
    add_model(write_model(tmp_path / "mine.gguf"), name="tiny-f16")
    with pytest.raises(InputError, match="another model is already called tiny-f16"):
        prepare("tiny", "f16", force=force)


def test_a_parent_that_is_missing_damaged_or_unknown_is_refused(
    store: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnknownNameError):
        prepare("nobody", "q4_0")
    with pytest.raises(ModelMissingError):
        prepare("smollm2-135m", "q4_0")
    (tmp_path / "text.gguf").write_text("no model")
    with pytest.raises(ModelFileError):
        prepare(str(tmp_path / "text.gguf"), "q4_0")


def test_a_parent_that_is_not_what_its_card_says_is_refused(store: Path, original: Path) -> None:
    card = ModelCard(
        name="tiny",
        file="tiny.gguf",
        sha256="0" * 64,
        size_bytes=original.stat().st_size,
        licence=Licence("MIT"),
        path=str(original),
    )
    write_card(card, store / "tiny.toml")
    with pytest.raises(ChecksumError, match="do not match its card"):
        prepare("tiny", "q4_0")
