from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from localprompt.errors import (
    ChecksumError,
    InputError,
    MachineError,
    ModelFileError,
    ModelMissingError,
    UnknownNameError,
)
from localprompt.models.cards import FileSource, read_catalog, write_card
from localprompt.models.resolve import resolve
from localprompt.models.store import add_model, list_models, remove_model, verify_model
from tests.models.tiny_gguf import METADATA, tiny_gguf


def test_a_file_is_added_where_it_lies(store: Path, tiny_file: Path) -> None:
    seen: list[str] = []
    card = add_model(tiny_file, progress=lambda stage, *_: seen.append(stage))
    assert card.name == "tiny-model"
    assert card.path == str(tiny_file)
    assert card.licence.name == "mit"
    assert card.chat
    assert seen == ["verify"]
    assert [path.name for path in store.iterdir()] == ["tiny-model.toml"]
    assert read_catalog().cards["tiny-model"] == card


def test_a_base_model_is_added_as_one(store: Path, tiny_file: Path) -> None:
    tiny_file.write_bytes(
        tiny_gguf({k: v for k, v in METADATA.items() if k != "tokenizer.chat_template"})
    )
    assert not add_model(tiny_file).chat


@pytest.mark.parametrize("content", [b"", b"no model", tiny_gguf()[:-400]])
def test_what_is_no_whole_gguf_is_not_added(store: Path, tiny_file: Path, content: bytes) -> None:
    tiny_file.write_bytes(content)
    with pytest.raises(ModelFileError):
        add_model(tiny_file)
    assert not store.exists()


def test_a_name_that_is_taken_or_cannot_be_one_is_refused(store: Path, tiny_file: Path) -> None:
    for taken in ("smollm2-135m", "smollm2"):
        with pytest.raises(InputError, match="another model"):
            add_model(tiny_file, name=taken)
    with pytest.raises(InputError, match="not a valid name") as caught:
        add_model(tiny_file, name="My Model!")
    assert str(caught.value.next_step).endswith("--name my-model")
    assert not store.exists()


def test_a_path_that_no_card_can_hold_is_refused(store: Path, tiny_file: Path) -> None:
    odd = tiny_file.rename(tiny_file.with_name("line\nbreak.gguf"))
    with pytest.raises(InputError, match="cannot be written into a card"):
        add_model(odd)
    assert not store.exists()


def test_the_form_of_a_card_in_the_documentation_is_valid(store: Path) -> None:
    from localprompt.paths import shipped

    text = (shipped("models") / "README.md").read_text()
    card = text.split("```toml")[1].split("```")[0].replace("64 hexadecimal digits", "0" * 64)
    store.mkdir(parents=True)
    (store / "my-model.toml").write_text(card)
    assert read_catalog().problems == {}
    assert len(read_catalog().cards["my-model"].sources) == 3


def test_adding_the_same_file_again_renews_its_card(store: Path, tiny_file: Path) -> None:
    first = add_model(tiny_file)
    tiny_file.write_bytes(tiny_gguf(METADATA | {"general.name": "Changed"}))
    second = add_model(tiny_file)
    assert second.name == first.name
    assert second.sha256 != first.sha256
    assert verify_model(first.name) == second


def test_a_quantized_child_inherits_the_licence_and_names_its_parent(
    store: Path, tiny_file: Path
) -> None:
    parent = add_model(tiny_file, name="parent")
    child_file = store / "parent-q4_0.gguf"
    child_file.write_bytes(tiny_gguf(METADATA | {"general.name": "Child"}))
    child = add_model(child_file, name="parent-q4_0", parent=parent)
    assert child.parent_sha256 == parent.sha256
    assert child.licence == parent.licence
    assert child.path is None
    assert resolve("parent-q4_0").path == child_file


def test_removing_forgets_what_was_added_and_deletes_what_localprompt_made(
    store: Path, tiny_file: Path
) -> None:
    parent = add_model(tiny_file, name="outside")
    made, own = store / "made.gguf", store / "own.gguf"
    shutil.copy(tiny_file, made)
    shutil.copy(tiny_file, own)
    add_model(made, parent=parent)
    add_model(own)

    for name, file in (("outside", tiny_file), ("own", own)):
        removal = remove_model(name)
        assert not removal.weights_deleted
        assert removal.freed_bytes == 0
        assert removal.kept == "it is yours"
        assert file.exists()
    removal = remove_model("made")
    assert removal.weights_deleted
    assert removal.kept is None
    assert removal.freed_bytes == tiny_file.stat().st_size
    assert list(store.iterdir()) == [own]
    with pytest.raises(UnknownNameError):
        remove_model("made")


def test_a_second_name_for_a_file_of_the_store_takes_nothing_away(
    store: Path, tiny_file: Path
) -> None:
    parent = add_model(tiny_file, name="parent")
    made = store / "made.gguf"
    shutil.copy(tiny_file, made)
    add_model(made, parent=parent)
    add_model(made, name="two")
    assert remove_model("two").kept == "made uses it"
    assert resolve("made").path == made

    add_model(made, name="two")
    removal = remove_model("made")
    assert removal.kept == "two uses it"
    assert resolve("two").path == made


def test_a_link_to_a_file_of_the_store_counts_as_a_use(store: Path, tiny_file: Path) -> None:
    parent = add_model(tiny_file, name="parent")
    made = store / "made.gguf"
    shutil.copy(tiny_file, made)
    add_model(made, parent=parent)
    link = tiny_file.with_name("link.gguf")
    link.symlink_to(made)
    add_model(link, name="linked")
    assert remove_model("made").kept == "linked uses it"
    assert made.exists()


def test_a_strangers_card_in_the_working_folder_takes_no_weights_away(
    store: Path, tiny_file: Path
) -> None:
    parent = add_model(tiny_file, name="parent")
    made = store / "made.gguf"
    shutil.copy(tiny_file, made)
    card = add_model(made, parent=parent)
    mine = store / "mine.gguf"  # registered nowhere
    mine.write_bytes(b"a file of the user")
    cards = Path("models")
    cards.mkdir()
    source = (FileSource("/nowhere"),)
    for name, file in (("evil", "made.gguf"), ("worse", "mine.gguf"), ("made", "made.gguf")):
        wrong = msgspec.structs.replace(card, name=name, file=file, sources=source)
        write_card(wrong, cards / f"{name}.toml")
    for name in ("evil", "worse", "made"):
        with pytest.raises(InputError, match="are not deleted"):
            remove_model(name)
    assert made.exists()
    assert mine.exists()
    assert (store / "made.toml").exists()


def test_what_is_not_what_its_card_says_is_not_deleted(store: Path, tiny_file: Path) -> None:
    parent = add_model(tiny_file, name="parent")
    made = store / "made.gguf"
    shutil.copy(tiny_file, made)
    add_model(made, parent=parent)
    made.write_bytes(b"something else by now")
    assert remove_model("made").kept == "it is not the file that the card describes"
    assert made.exists()
    assert not (store / "made.toml").exists()


def test_there_is_nothing_to_remove_of_a_model_that_was_not_pulled(store: Path) -> None:
    with pytest.raises(ModelMissingError, match="nothing of smollm2-135m"):
        remove_model("smollm2-135m")
    assert "smollm2-135m" in read_catalog().cards


def test_the_list_says_what_is_here_and_what_is_wrong(store: Path, tiny_file: Path) -> None:
    add_model(tiny_file, name="good")
    damaged = tiny_file.with_name("damaged.gguf")
    shutil.copy(tiny_file, damaged)
    add_model(damaged)
    damaged.write_bytes(b"short")
    (store / "broken.toml").write_text("?")
    entries, problems = list_models()
    assert {entry.card.name: entry.state for entry in entries} == {
        "damaged": "damaged",
        "gemma3-270m": "missing",
        "good": "present",
        "qwen2.5-coder-0.5b": "missing",
        "qwen2.5-coder-1.5b": "missing",
        "smollm2-135m": "missing",
    }
    assert len(problems) == 1
    assert "broken.toml" in str(problems[0].where)


def test_verifying_hashes_the_bytes_anew(store: Path, tiny_file: Path) -> None:
    card = add_model(tiny_file)
    assert verify_model(card.name) == card
    content = bytearray(tiny_file.read_bytes())
    content[-1] ^= 1
    tiny_file.write_bytes(content)
    with pytest.raises(ChecksumError) as caught:
        verify_model(card.name)
    assert card.sha256 in str(caught.value.expected)
    tiny_file.write_bytes(content[:-1])
    with pytest.raises(ChecksumError, match="bytes"):
        verify_model(card.name)
    tiny_file.unlink()
    with pytest.raises(ModelMissingError):
        verify_model(card.name)


def test_an_unwritable_home_is_named(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(MachineError, match="cannot write") as caught:
        add_model(tiny_file)
    assert "LOCALPROMPT_HOME" in str(caught.value.next_step)
    assert caught.value.exit_code == 3


@pytest.mark.model
def test_the_starter_model_in_the_users_store_is_the_one_of_the_card(starter_model: Path) -> None:
    resolved = resolve(str(starter_model))
    assert resolved.card is not None
    assert resolved.card.name == "smollm2-135m"
    assert verify_model("smollm2-135m").sha256.startswith("b179c952")
