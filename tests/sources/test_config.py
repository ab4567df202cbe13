"""Defaults that are set once, in a file or in the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from localprompt import paths
from localprompt.errors import InputError, LocalPromptError, MachineError
from localprompt.sources.config import (
    Config,
    is_set,
    path,
    read_config,
    set_value,
    sources,
    variable,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_without_a_file_everything_is_usual_and_no_file_is_made(home: Path) -> None:
    assert not is_set({})
    assert read_config({}) == Config()
    assert set(sources({}).values()) == {"usual"}
    assert not home.exists()


def test_what_is_set_is_read_and_other_lines_stay_as_they_are() -> None:
    set_value("threads", "2")
    path().write_text(path().read_text() + "# mine\n")
    set_value("model", 'a "quoted" name')
    set_value("threads", "3")
    set_value("log", "no")
    assert read_config({}) == Config(model='a "quoted" name', threads=3, log=False)
    assert "# mine" in path().read_text()
    set_value("model", None)
    assert read_config({}) == Config(threads=3, log=False)


def test_the_environment_comes_before_the_file() -> None:
    set_value("threads", "2")
    given = {variable("threads"): "5", variable("log"): "0"}
    assert read_config(given) == Config(threads=5, log=False)
    assert sources(given)["threads"] == "environment"
    assert sources({})["threads"] == "file"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("thread = 4", "'thread' is not a setting"),
        ("threads = 0", "wrong type"),
        ("threads = 'four'", "wrong type"),
        ("log = 1", "wrong type"),
        ("max_memory = 'plenty'", "not a size"),
        ("threads = ", "not TOML"),
    ],
)
def test_a_file_that_is_wrong_is_told_with_its_place(text: str, says: str) -> None:
    path().parent.mkdir()
    path().write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        read_config({})
    assert caught.value.where == str(path())
    with pytest.raises(InputError):
        set_value("log", "true")
    assert path().read_text() == text


@pytest.mark.parametrize(
    ("name", "value"),
    [("speed", "1"), ("threads", "many"), ("threads", "0"), ("log", "maybe"), ("max_memory", "x")],
)
def test_what_cannot_be_set_writes_nothing(name: str, value: str) -> None:
    with pytest.raises(LocalPromptError):
        set_value(name, value)
    assert not path().exists()


def test_the_environment_is_held_to_the_same_values() -> None:
    with pytest.raises(InputError) as caught:
        read_config({variable("threads"): "many"})
    assert caught.value.where == "LOCALPROMPT_THREADS"


@pytest.mark.parametrize("there", ["pipe", "folder", "device"])
def test_what_is_no_file_is_not_waited_for(there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCALPROMPT_SHARED", raising=False)
    place = path()
    place.parent.mkdir(parents=True, exist_ok=True)
    if there == "pipe":
        os.mkfifo(place)
    elif there == "folder":
        place.mkdir()
    else:
        place.symlink_to("/dev/zero")
    with pytest.raises(MachineError, match="cannot be read"):
        read_config()
    assert paths.shared() == paths.USUAL_SHARED
