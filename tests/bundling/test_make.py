"""A bundle is all there or not there, and the same input gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import msgspec
import pytest

from localprompt import paths
from localprompt.bundling import make as making
from localprompt.bundling.check import read_bundle
from localprompt.bundling.make import Made, make
from localprompt.errors import (
    ChecksumError,
    InputError,
    MachineError,
    NotEnoughDiskError,
    PromptFileError,
)
from localprompt.models.cards import read_card
from tests.bundling.conftest import wanted
from tests.models.tiny_gguf import tiny_gguf


def test_it_holds_weights_cards_prompts_suites_terms_and_a_bill(made: Made) -> None:
    assert [file.path for file in made.manifest.files] == [
        "home/benchmarks/colours.yaml",
        "home/benchmarks/prompts/colour.jsonl",
        "home/benchmarks/prompts/colour.prompty",
        "home/benchmarks/rows.csv",
        "home/models/tiny.gguf",
        "home/models/tiny.toml",
        "home/prompts/say.jsonl",
        "home/prompts/say.prompty",
        "licences/models/tiny.txt",
        "sbom.cdx.json",
    ]
    assert made.sha256 == hashlib.sha256(made.path.read_bytes()).hexdigest()
    assert made.size_bytes == made.path.stat().st_size
    assert read_bundle(made.path).manifest == made.manifest


def test_the_same_input_gives_the_same_bytes(near: Path, made: Made) -> None:
    (near / "again").mkdir()
    again = make(msgspec.structs.replace(wanted(near), output=near / "again" / "kit.tar"))
    assert again.sha256 == made.sha256


def test_a_missing_licence_text_is_said(near: Path, made: Made) -> None:
    assert [warning.code for warning in made.warnings] == ["licence_text"]
    Path("MIT.txt").write_text("Permission is hereby granted")
    given = msgspec.structs.replace(wanted(near), licence_texts=("tiny=MIT.txt",))
    again = make(given)
    assert again.warnings == ()
    assert "licences/models/tiny-text.txt" in {file.path for file in again.manifest.files}


def test_weights_that_no_card_describes_get_one(near: Path) -> None:
    Path("Some Model.gguf").write_bytes(tiny_gguf({"general.architecture": "llama"} | _shape()))
    made = make(
        msgspec.structs.replace(wanted(near), models=("Some Model.gguf",), prompts=(), suites=())
    )
    assert [model.name for model in made.manifest.models] == ["some-model"]


def _shape() -> dict[str, object]:
    from tests.models.tiny_gguf import METADATA

    return dict(METADATA)


def test_weights_that_stay_elsewhere_go_to_the_store_of_the_other_side(
    near: Path, tmp_path: Path
) -> None:
    from localprompt.models.store import add_model

    (tmp_path / "elsewhere.gguf").write_bytes(tiny_gguf(_shape() | {"general.name": "Other"}))
    add_model(tmp_path / "elsewhere.gguf", name="mine")
    made = make(msgspec.structs.replace(wanted(near), models=("mine",), prompts=(), suites=()))
    unpacked = tmp_path / "unpacked"
    shutil.unpack_archive(made.path, unpacked)
    card = read_card(unpacked / "kit" / "home" / "models" / "mine.toml")
    assert (card.path, card.file) == (None, "mine.gguf")


def test_nothing_to_bundle_is_an_error(near: Path) -> None:
    nothing = msgspec.structs.replace(wanted(near), models=(), prompts=(), suites=())
    with pytest.raises(InputError, match="nothing to bundle"):
        make(nothing)


def test_a_broken_prompt_is_found_before_it_crosses(near: Path) -> None:
    Path("prompts/broken.prompty").write_text("---\nname: [\n---\nuser:\nHi\n")
    with pytest.raises(PromptFileError):
        make(wanted(near))
    assert list(near.glob("*kit*")) == []


def test_a_reference_that_leads_nowhere_is_found_before_it_crosses(near: Path) -> None:
    Path("suites/rows.csv").unlink()
    with pytest.raises(InputError, match=r"rows\.csv' leads nowhere"):
        make(wanted(near))


def test_a_reference_out_of_the_suite_s_folder_is_refused(near: Path) -> None:
    Path("outside.csv").write_text("text\nred\n")
    Path("suites/colours.yaml").write_text("tests: file://../outside.csv\n")
    with pytest.raises(InputError, match="leads outside"):
        make(wanted(near))


def test_two_files_for_one_place_are_refused(near: Path) -> None:
    shutil.copytree("prompts", "more")
    both = msgspec.structs.replace(wanted(near), prompts=(Path("prompts"), Path("more")))
    with pytest.raises(InputError, match="same path") as caught:
        make(both)
    assert caught.value.where == "home/prompts/say.jsonl"


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_full_disk_is_noticed_before_anything_is_written(
    near: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(10, 9, 1))
    with pytest.raises(NotEnoughDiskError, match=r"kit\.tar"):
        make(wanted(near))
    assert list(near.glob("*kit*")) == []


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left")])
def test_what_is_interrupted_leaves_the_old_bundle_and_nothing_else(
    near: Path, made: Made, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    before = made.path.read_bytes()

    def breaks(_: Path | bytes) -> NoReturn:
        raise interruption

    monkeypatch.setattr(making, "_chunks", breaks)
    with pytest.raises((KeyboardInterrupt, NotEnoughDiskError)):
        make(wanted(near))
    assert made.path.read_bytes() == before
    assert [path.name for path in near.glob("*kit*")] == ["kit.tar"]


def test_what_a_kill_left_is_taken_over(near: Path, made: Made) -> None:
    (near / ".kit.tar.incomplete").write_bytes(b"half of a bundle" * 100_000)
    assert make(wanted(near)).sha256 == made.sha256
    assert sorted(path.name for path in near.glob("*kit*")) == ["kit.tar"]


def test_two_processes_do_not_write_the_same_bundle(near: Path) -> None:
    with (
        making._draft(near / "kit.tar"),
        pytest.raises(MachineError, match="by another process"),
    ):
        make(wanted(near))


def test_weights_that_change_while_they_are_copied_are_noticed(
    near: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = making._chunks

    def changed(content: Path | bytes) -> Iterator[bytes]:
        return chunks(b"other" if content == paths.weights_folder() / "tiny.gguf" else content)

    monkeypatch.setattr(making, "_chunks", changed)
    with pytest.raises(ChecksumError, match="changed while") as caught:
        make(wanted(near))
    assert str(caught.value.where).endswith("tiny.gguf")
    assert list(near.glob("*kit*")) == []


def test_the_manifest_says_no_time_and_no_machine(made: Made) -> None:
    from localprompt.bundling.manifest import encode

    text = encode(made.manifest).decode()
    assert str(made.path.parent) not in text
    assert set(json.loads(text)) == {
        "format", "version", "localprompt", "models", "target", "llama_builds", "files",
    }  # fmt: skip
