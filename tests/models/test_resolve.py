from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.errors import ChecksumError, InputError, ModelMissingError, UnknownNameError
from localprompt.models.checksum import remember_sha256, sha256_of
from localprompt.models.resolve import find_card, resolve
from localprompt.models.store import add_model


def test_a_name_leads_to_the_registered_file(store: Path, tiny_file: Path) -> None:
    card = add_model(tiny_file)
    resolved = resolve(card.name)
    assert resolved.path == tiny_file
    assert resolved.card == card
    assert resolved.sha256 == card.sha256


def test_a_path_leads_to_the_file_whether_a_card_knows_it_or_not(
    store: Path, tiny_file: Path
) -> None:
    unknown = resolve(str(tiny_file))
    assert (unknown.name, unknown.card, unknown.sha256) == ("Tiny Model", None, None)
    card = add_model(tiny_file, name="mine")
    assert resolve(str(tiny_file)).card == card


def test_a_relative_path_becomes_absolute(
    store: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_file.parent)
    assert resolve(tiny_file.name).path == tiny_file


def test_an_unknown_name_brings_the_nearest_ones(store: Path) -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve("smolm2-135")
    assert caught.value.nearest[0] == "smollm2-135m"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["./absent", "absent.gguf", "folder/absent", "~/absent"])
def test_a_path_to_nothing_is_said_to_be_a_path(store: Path, text: str) -> None:
    with pytest.raises(ModelMissingError, match="no such model file"):
        resolve(text)


def test_a_file_without_a_card_is_not_taken_for_a_wrong_name(store: Path, tiny_file: Path) -> None:
    with pytest.raises(UnknownNameError, match="the file has no card") as caught:
        find_card(str(tiny_file))
    assert caught.value.next_step == f"localprompt models add '{tiny_file}', then its name"


def test_a_folder_is_said_to_be_a_folder(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="found a folder"):
        resolve(str(tmp_path))


def test_a_model_that_was_not_pulled_brings_the_command_that_pulls_it(store: Path) -> None:
    with pytest.raises(ModelMissingError) as caught:
        resolve("smollm2")
    assert caught.value.next_step == "localprompt models pull smollm2-135m"
    with pytest.raises(ModelMissingError) as caught:
        resolve("gemma3-270m")
    assert caught.value.next_step == "localprompt models pull gemma3-270m --accept-license"


def test_an_added_file_that_is_gone_is_said_to_be_gone(store: Path, tiny_file: Path) -> None:
    card = add_model(tiny_file)
    tiny_file.unlink()
    with pytest.raises(ModelMissingError, match=f"the file of {card.name} is gone"):
        resolve(card.name)


def test_weights_of_another_size_or_hash_are_refused(store: Path, tiny_file: Path) -> None:
    card = add_model(tiny_file)
    changed = bytearray(tiny_file.read_bytes())
    changed[-1] ^= 1
    tiny_file.write_bytes(changed)
    assert resolve(card.name).sha256 is None  # not hashed yet, so nothing is known against it
    remember_sha256(tiny_file, sha256_of(tiny_file, fresh=True))
    with pytest.raises(ChecksumError, match="sha256"):
        resolve(card.name)
    tiny_file.write_bytes(changed[:-1])
    with pytest.raises(ChecksumError, match="bytes"):
        resolve(card.name)


def test_a_broken_card_is_reported_when_it_is_asked_for(store: Path) -> None:
    store.mkdir(parents=True)
    (store / "smollm2-135m.toml").write_text("name = 5")
    with pytest.raises(InputError, match="card"):
        resolve("smollm2-135m")
