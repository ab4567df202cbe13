from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt import paths
from localprompt.errors import InputError
from localprompt.models.cards import (
    DEFAULT_MODEL,
    FileSource,
    HttpsSource,
    ModelCard,
    PypiSource,
    WheelPart,
    read_card,
    read_catalog,
    write_card,
)
from localprompt.records.model import Licence

CARD = """
name = "{name}"
file = "tiny.gguf"
sha256 = "{sha256}"
size_bytes = 10

[licence]
name = "MIT"
"""


def _card(folder: Path, name: str = "tiny", text: str = CARD) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text.replace("{name}", name).replace("{sha256}", "a" * 64))
    return path


def test_the_shipped_cards_are_valid_and_the_default_model_is_among_them(store: Path) -> None:
    catalog = read_catalog()
    assert catalog.problems == {}
    assert set(catalog.cards) == {
        "gemma3-270m",
        "qwen2.5-coder-0.5b",
        "qwen2.5-coder-1.5b",
        "smollm2-135m",
    }
    starter = catalog.cards[DEFAULT_MODEL]
    assert starter.size_bytes == 98_362_432
    assert not starter.licence.needs_acceptance
    assert catalog.cards["gemma3-270m"].licence.needs_acceptance
    assert "https://ai.google.dev/gemma/terms" in catalog.cards["gemma3-270m"].licence.notice


@pytest.mark.parametrize(("name", "parts"), [("qwen2.5-coder-0.5b", 6), ("qwen2.5-coder-1.5b", 22)])
def test_a_card_of_a_laptops_size_comes_from_its_makers_or_from_packages_in_order(
    store: Path, name: str, parts: int
) -> None:
    makers, packages = read_catalog().cards[name].sources
    assert isinstance(makers, HttpsSource)
    assert isinstance(packages, PypiSource)
    assert makers.url.endswith(read_catalog().cards[name].file)
    numbers = [int(part.package.rpartition("part")[2]) for part in packages.parts]
    assert numbers == list(range(1, parts + 1))
    for number, part in enumerate(packages.parts, 1):
        assert part.member == f"{part.package.replace('-', '_')}/data/part{number:02d}.bin"


def test_a_card_beside_the_user_comes_before_one_in_the_home(store: Path) -> None:
    _card(store, text=CARD.replace("tiny.gguf", "home.gguf"))
    _card(Path("models").absolute(), text=CARD.replace("tiny.gguf", "here.gguf"))
    assert read_catalog().cards["tiny"].file == "here.gguf"


def test_names_and_aliases_are_found_in_any_case(store: Path) -> None:
    catalog = read_catalog()
    assert catalog.find("SmolLM2-135M") == catalog.cards["smollm2-135m"]
    assert catalog.find("smollm2") == catalog.cards["smollm2-135m"]
    assert catalog.find("unheard-of") is None
    assert "smollm2" in catalog.names()


@pytest.mark.parametrize(
    ("change", "key", "found"),
    [
        (("size_bytes = 10", 'size_bytes = "ten"'), "size_bytes", "Expected `int`, got `str`"),
        (("size_bytes = 10", "size_bytes = 0"), "size_bytes", ">= 1"),
        (('name = "MIT"', "name = 5"), "licence.name", "Expected `str`, got `int`"),
        (("tiny.gguf", "../tiny.gguf"), "file", "regex"),
        (("{sha256}", "abc"), "sha256", "regex"),
        (("[licence]", "colour = 1\n[licence]"), "", "unknown field `colour`"),
        (("[licence]", '[[sources]]\nkind = "ftp"\n[licence]'), "sources[0].kind", "ftp"),
        (("[licence]", '[[sources]]\nkind = "pypi"\nparts = []\n[licence]'), "parts", "length"),
    ],
)
def test_what_is_wrong_in_a_card_is_named_by_its_key(
    tmp_path: Path, change: tuple[str, str], key: str, found: str
) -> None:
    path = _card(tmp_path, text=CARD.replace(*change))
    with pytest.raises(InputError, match="not valid") as caught:
        read_card(path)
    assert str(path) in str(caught.value.where)
    assert key in str(caught.value.where)
    assert found in str(caught.value.found)


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_card(_card(tmp_path, text="name = \n"))
    assert "line 1" in str(caught.value.found)


def test_a_card_has_to_bear_the_name_of_its_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names a different model"):
        read_card(_card(tmp_path, "other", CARD.replace("{name}", "tiny")))


def test_one_broken_card_does_not_take_the_others_away(store: Path) -> None:
    _card(store, "broken", "no toml")
    catalog = read_catalog()
    assert DEFAULT_MODEL in catalog.cards
    assert set(catalog.problems) == {"broken"}
    with pytest.raises(InputError, match="cannot be read"):
        catalog.find("broken")


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    description=_TEXT,
    notice=_TEXT,
    path=st.none() | _TEXT,
    chat=st.booleans(),
    sources=st.lists(
        st.sampled_from(
            [
                HttpsSource("https://example.org/a.gguf"),
                FileSource('/with "quotes" and \\'),
                PypiSource((WheelPart("a", "1", "m/x"), WheelPart("b", "2", "m/y")), 7),
            ]
        ),
        max_size=3,
    ),
)
def test_a_written_card_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory,
    description: str,
    notice: str,
    path: str | None,
    chat: bool,
    sources: list[HttpsSource | FileSource | PypiSource],
) -> None:
    card = ModelCard(
        name="tiny",
        file="tiny.gguf",
        sha256="0" * 64,
        size_bytes=1,
        licence=Licence("MIT", notice=notice),
        description=description,
        aliases=("wee",),
        chat=chat,
        sources=tuple(sources),
        path=path,
    )
    file = tmp_path_factory.mktemp("cards") / "tiny.toml"
    write_card(card, file)
    assert read_card(file) == card
    assert [entry.name for entry in file.parent.iterdir()] == ["tiny.toml"]


def test_weights_lie_in_the_store_unless_the_card_points_elsewhere(store: Path) -> None:
    card = read_catalog().cards[DEFAULT_MODEL]
    assert card.weights == paths.weights_folder() / "SmolLM2-135M-Instruct.Q4_1.gguf"
