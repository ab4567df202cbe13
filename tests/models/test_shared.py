"""The store for all users of a machine: read beside one's own, written by nobody but its keeper."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from localprompt import paths
from localprompt.errors import ChecksumError, InputError, MachineError
from localprompt.files import for_all_users
from localprompt.models.cards import FileSource, ModelCard, read_catalog, write_card
from localprompt.models.pull import pull
from localprompt.models.resolve import resolve
from localprompt.models.store import add_model, list_models, remove_model, verify_model
from localprompt.sources.config import read_config, set_value
from localprompt.sources.prompt.search import find_prompt, read_prompts
from tests.models.tiny_gguf import METADATA, tiny_gguf

OTHER = tiny_gguf(METADATA | {"general.name": "Another"})


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store for all users with the model ``tiny`` in it."""
    folder = tmp_path / "shared"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "tiny.gguf").write_bytes(tiny_gguf())
    monkeypatch.setenv("LOCALPROMPT_HOME", str(folder))
    parent = add_model(folder / "models" / "tiny.gguf", name="tiny")
    (folder / "models" / "tiny.toml").unlink()
    card = ModelCard(
        name="tiny",
        file="tiny.gguf",
        sha256=parent.sha256,
        size_bytes=parent.size_bytes,
        licence=parent.licence,
        sources=(FileSource(str(tmp_path / "elsewhere" / "Tiny Model.gguf")),),
    )
    write_card(card, folder / "models" / "tiny.toml")
    (folder / "cache" / "sha256.json").unlink()
    (folder / "cache").rmdir()
    monkeypatch.setenv("LOCALPROMPT_SHARED", str(folder))
    return folder


@pytest.fixture
def own(store: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own store, empty."""
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    return store


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def _files(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _place(name: str) -> str:
    return next(entry.place for entry in list_models()[0] if entry.card.name == name)


def test_what_lies_there_is_found_and_listed_as_shared(own: Path, shared: Path) -> None:
    assert resolve("tiny").path == shared / "models" / "tiny.gguf"
    assert _place("tiny") == "shared"
    assert verify_model("tiny").weights == shared / "models" / "tiny.gguf"


def test_the_usual_place_needs_no_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path))
    monkeypatch.delenv("LOCALPROMPT_SHARED", raising=False)
    assert paths.shared() == Path("/var/lib/localprompt")


def test_the_configuration_names_it_and_the_environment_comes_first(
    own: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_value("shared", str(tmp_path / "of the team"))
    assert paths.shared() == shared
    monkeypatch.delenv("LOCALPROMPT_SHARED")
    assert paths.shared() == tmp_path / "of the team"
    set_value("shared", "none")
    assert paths.shared() is None
    assert read_config({}).shared == "none"
    assert "tiny" not in read_catalog().cards


def test_a_user_s_own_card_and_weights_come_before_the_shared_ones(
    own: Path, shared: Path, tiny_file: Path
) -> None:
    own.mkdir(parents=True)
    (own / "tiny.gguf").write_bytes(tiny_gguf())
    assert resolve("tiny").path == own / "tiny.gguf"
    assert _place("tiny") == "own"
    tiny_file.write_bytes(OTHER)
    card = read_catalog().cards["tiny"]
    of_mine = {"path": str(tiny_file), "sources": (), "size_bytes": len(OTHER)}
    write_card(msgspec.structs.replace(card, **of_mine), own / "tiny.toml")
    assert resolve("tiny").path == tiny_file
    assert _place("tiny") == "elsewhere"


def test_half_a_file_of_one_s_own_does_not_hide_a_whole_shared_one(own: Path, shared: Path) -> None:
    own.mkdir(parents=True)
    (own / "tiny.gguf").write_bytes(tiny_gguf()[:100])
    assert resolve("tiny").path == shared / "models" / "tiny.gguf"


def test_a_pull_of_what_is_shared_fetches_nothing(own: Path, shared: Path) -> None:
    before = _files(shared)
    assert pull(read_catalog().cards["tiny"]) == shared / "models" / "tiny.gguf"
    assert not own.exists()
    assert _files(shared) == before


def test_a_pull_of_a_damaged_shared_file_gets_one_s_own(
    own: Path, shared: Path, tiny_file: Path
) -> None:
    damaged = bytearray(tiny_gguf())
    damaged[-1] ^= 1
    (shared / "models" / "tiny.gguf").write_bytes(damaged)
    before = _files(shared)
    with pytest.raises(ChecksumError) as caught:
        verify_model("tiny")
    assert str(caught.value.where) == str(shared / "models" / "tiny.gguf")
    assert caught.value.next_step == "localprompt models pull tiny"
    assert pull(read_catalog().cards["tiny"]) == own / "tiny.gguf"
    assert resolve("tiny").path == own / "tiny.gguf"
    assert _files(shared) == before


def test_removing_leaves_the_shared_store_alone(own: Path, shared: Path) -> None:
    before = _files(shared)
    with pytest.raises(InputError, match="it lies in the shared store") as caught:
        remove_model("tiny")
    assert "--system" in str(caught.value.next_step)
    own.mkdir(parents=True)
    (own / "tiny.gguf").write_bytes(tiny_gguf())
    removal = remove_model("tiny")
    assert removal.weights_deleted
    assert removal.kept == "it lies in the shared store"
    assert not (own / "tiny.gguf").exists()
    assert _files(shared) == before


def test_an_own_card_of_a_shared_file_is_forgotten_and_the_file_stays(
    own: Path, shared: Path
) -> None:
    add_model(shared / "models" / "tiny.gguf", name="mine")
    assert _mode(own / "mine.toml") == 0o600
    removal = remove_model("mine")
    assert not removal.weights_deleted
    assert removal.kept == "it lies in the shared store"
    assert not (own / "mine.toml").exists()
    assert (shared / "models" / "tiny.gguf").exists()


def test_a_prompt_for_all_is_found_by_name(own: Path, shared: Path) -> None:
    (shared / "prompts").mkdir()
    (shared / "prompts" / "greet.prompty").write_text("---\nname: greet\n---\nuser:\nHello.\n")
    assert find_prompt("greet") == shared / "prompts" / "greet.prompty"
    listed = {prompt.name: prompt.place for prompt in read_prompts()[0]}
    assert listed["greet"] == "shared"


def test_its_keeper_adds_pulls_and_removes_for_all_to_read_whatever_the_umask(
    own: Path, shared: Path, tiny_file: Path, umask: int
) -> None:
    remove = read_catalog().cards["tiny"]
    with for_all_users(True):
        remove_model("tiny")
        assert not (shared / "models" / "tiny.gguf").exists()
        pull(remove)
        add_model(tiny_file, name="added")
    assert resolve("added").path == tiny_file
    assert resolve("tiny").path == shared / "models" / "tiny.gguf"
    for name in ("tiny.gguf", "added.toml"):
        assert _mode(shared / "models" / name) == 0o644
    assert _mode(shared / "cache") == 0o700
    assert not own.exists()
    assert paths.home() == own.parent


def test_a_store_that_is_not_there_is_made_with_its_folders_open(
    own: Path, tmp_path: Path, tiny_file: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALPROMPT_SHARED", str(tmp_path / "srv" / "ai"))
    with for_all_users(True):
        add_model(tiny_file, name="added")
    for folder in ("srv", "srv/ai", "srv/ai/models"):
        assert _mode(tmp_path / folder) == 0o755
    assert _mode(tmp_path / "srv/ai/models/added.toml") == 0o644


def test_there_is_nothing_to_keep_where_it_is_switched_off(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALPROMPT_SHARED", "none")
    with pytest.raises(InputError, match="switched off"), for_all_users(True):
        pass


def test_who_may_not_write_there_is_told_before_anything_is_done(
    own: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(MachineError, match="only who keeps the shared store"), for_all_users(True):
        pytest.fail("it was entered")
