"""Models in several files: all parts are one model, and a part that is not right is named."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from localprompt.bundling.contents import pack_model
from localprompt.errors import ChecksumError, InputError, ModelFileError, ModelMissingError
from localprompt.gguf.splits import parts_of, read_model, total_bytes
from localprompt.models.checksum import known_sha256, sha256_of
from localprompt.models.inspect import inspect_model
from localprompt.models.receiver import no_progress
from localprompt.models.resolve import resolve
from localprompt.models.store import add_model, list_models, remove_model, verify_model
from tests.models.tiny_gguf import METADATA, TENSORS, tiny_gguf

COUNT = 3
CUTS = (TENSORS[:2], TENSORS[2:3], TENSORS[3:])


def _part(number: int, *, count: int = COUNT, tensors: int | None = None) -> bytes:
    """One part, numbered from 0; the first carries what the model is."""
    of_model = METADATA if number == 0 else {"general.architecture": "llama"}
    split = {"split.no": number, "split.count": count, "split.tensors.count": len(TENSORS)}
    return tiny_gguf(of_model | split, CUTS[number if tensors is None else tensors])


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model in three files; the path of the first."""
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(COUNT):
        _path(folder, number).write_bytes(_part(number))
    return _path(folder, 0)


def _path(folder: Path, number: int) -> Path:
    return folder / f"m-{number + 1:05d}-of-{COUNT:05d}.gguf"


def _whole(tmp_path: Path) -> Path:
    path = tmp_path / "whole.gguf"
    path.write_bytes(tiny_gguf(METADATA, TENSORS))
    return path


def test_all_parts_are_one_model(first: Path, tmp_path: Path) -> None:
    split, whole = inspect_model(first), inspect_model(_whole(tmp_path))
    assert split.parameters == whole.parameters
    assert split.weights_bytes == whole.weights_bytes
    assert split.repackable == whole.repackable
    assert split.size_bytes == sum(path.stat().st_size for path in first.parent.iterdir())


def test_a_file_of_its_own_has_one_part(tmp_path: Path) -> None:
    whole = _whole(tmp_path)
    assert parts_of(whole) == (whole,)
    called_so = whole.rename(tmp_path / "m-00001-of-00003.gguf")
    assert parts_of(called_so) == (called_so,)
    assert read_model(called_so).size_bytes == total_bytes(called_so)


def test_the_sha256_is_that_of_all_parts_and_notices_a_change_in_any(first: Path) -> None:
    together = b"".join(path.read_bytes() for path in sorted(first.parent.iterdir()))
    seen: list[tuple[int, int]] = []
    found = sha256_of(first, progress=lambda done, total: seen.append((done, total)))
    assert found == hashlib.sha256(together).hexdigest() == known_sha256(first)
    assert seen[-1] == (len(together), len(together))
    last = _path(first.parent, 2)
    last.write_bytes(last.read_bytes()[:-1] + b"\x01")
    assert known_sha256(first) is None
    assert sha256_of(first) != found


def test_a_split_model_is_added_listed_verified_and_forgotten_as_one(first: Path) -> None:
    card = add_model(first)
    assert card.name == "m"
    assert card.size_bytes == total_bytes(first)
    assert {entry.card.name: entry.state for entry in list_models()[0]}["m"] == "present"
    assert verify_model("m") == card
    last = _path(first.parent, 2)
    last.write_bytes(last.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ChecksumError):
        verify_model("m")
    remove_model("m")
    assert len(list(first.parent.iterdir())) == COUNT


def test_a_missing_part_is_named(first: Path) -> None:
    add_model(first)
    gone = _path(first.parent, 1)
    gone.unlink()
    with pytest.raises(ModelFileError, match="part 2 of 3 of the model is missing") as caught:
        inspect_model(first)
    assert caught.value.where == str(gone)
    with pytest.raises(ModelMissingError, match="a part of m is gone") as absent:
        verify_model("m")
    assert absent.value.where == str(gone)
    with pytest.raises(ModelFileError, match="is missing"):
        resolve(str(first))


def test_a_part_that_is_there_twice_is_named(first: Path) -> None:
    shutil.copy(first, _path(first.parent, 1))
    with pytest.raises(
        ModelFileError, match="part 2 of 3 of the model is a different file"
    ) as caught:
        inspect_model(first)
    assert caught.value.found == "part 1 of 3"


def test_a_part_of_another_model_is_named(first: Path) -> None:
    _path(first.parent, 1).write_bytes(_part(1, tensors=2))
    with pytest.raises(ModelFileError, match="do not belong together") as caught:
        read_model(first)
    assert caught.value.found == "blk.1.ffn_up.weight in two parts"
    _path(first.parent, 1).write_bytes(_part(1, count=4))
    with pytest.raises(ModelFileError, match="is a different file") as caught:
        read_model(first)
    assert caught.value.found == "part 2 of 4"


def test_another_part_than_the_first_is_answered_with_the_first(first: Path) -> None:
    with pytest.raises(ModelFileError, match="this is part 2 of 3") as caught:
        resolve(str(_path(first.parent, 1)))
    assert caught.value.next_step == f"the same with {first}"


def test_a_part_under_another_name_is_told_its_own(first: Path) -> None:
    renamed = first.rename(first.with_name("model.gguf"))
    with pytest.raises(ModelFileError, match="renamed") as caught:
        inspect_model(renamed)
    assert caught.value.expected == "a name that ends in -00001-of-00003.gguf"


def test_a_bundle_refuses_a_split_model_and_says_how_to_merge_it(first: Path) -> None:
    with pytest.raises(InputError, match="is in 3 files") as caught:
        pack_model(str(first), no_progress)
    assert caught.value.next_step == (
        f"llama-gguf-split --merge {first} m.gguf, then bundle m.gguf"
    )
