"""Prompts are found by name in three places, or by path."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt import paths
from localprompt.errors import PromptFileError, UnknownNameError
from localprompt.sources.prompt.search import all_prompts, find_prompt, load_named_prompt


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """``./prompts`` and ``$LOCALPROMPT_HOME/prompts``; nothing is shipped."""
    here, user = tmp_path / "here" / "prompts", tmp_path / "home" / "prompts"
    here.mkdir(parents=True)
    user.mkdir(parents=True)
    monkeypatch.chdir(here.parent)
    monkeypatch.setenv("LOCALPROMPT_HOME", str(user.parent))
    monkeypatch.setattr(paths, "shipped", lambda folder: tmp_path / "wheel" / folder)
    return here, user


def test_the_first_place_that_has_the_name_wins(places: tuple[Path, Path]) -> None:
    here, user = places
    for folder, text in ((here, "here"), (user, "home")):
        (folder / "sum.prompty").write_text(text)
    (user / "other.prompty").write_text("other")
    assert load_named_prompt("sum").body == "here"
    assert [(found.name, found.path.parent) for found in all_prompts()] == [
        ("other", user),
        ("sum", here),
    ]


def test_an_unknown_name_gets_the_nearest_ones(places: tuple[Path, Path]) -> None:
    (places[0] / "summarize.prompty").write_text("x")
    (places[0] / "translate.prompty").write_text("x")
    with pytest.raises(UnknownNameError) as error:
        find_prompt("Sumarise")
    assert error.value.nearest == ("summarize",)
    assert error.value.next_step == "localprompt prompts list"


def test_a_path_is_taken_as_it_is(places: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.prompty"
    path.write_text("user:\nHi")
    assert load_named_prompt(str(path)).name == "elsewhere"
    with pytest.raises(PromptFileError, match="no such prompt file"):
        load_named_prompt("./none.prompty")


def test_nothing_is_found_where_there_is_nothing(places: tuple[Path, Path]) -> None:
    assert all_prompts() == ()
    with pytest.raises(UnknownNameError):
        find_prompt("any")
