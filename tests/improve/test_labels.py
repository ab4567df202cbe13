"""Other words for closed answers: read from a file, asked for, recorded as the choice."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.errors import InputError
from localprompt.improve.labels import in_capitals, read_labels, with_words
from localprompt.improve.variants import Variant
from localprompt.improve.wordings import Wording
from localprompt.sources.prompt.file import load_prompt
from tests.improve.test_search import Searched, searched

__all__ = ["searched"]

CHOICES = ("positive", "negative")


def written(folder: Path, text: str) -> Path:
    path = folder / "labels.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_first_words_of_all_choices_make_a_set_and_so_on(tmp_path: Path) -> None:
    path = written(tmp_path, "negative: [bad, terrible]\npositive: [good, great]\n")
    assert read_labels(path, CHOICES) == (
        (("positive", "good"), ("negative", "bad")),
        (("positive", "great"), ("negative", "terrible")),
    )


def test_one_word_needs_no_list_and_numbers_are_words(tmp_path: Path) -> None:
    path = written(tmp_path, "positive: 1\nnegative: no\n")
    assert read_labels(path, CHOICES) == ((("positive", "1"), ("negative", "no")),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("positive: [good]\n", "not of the prompt's choices"),
        ("positive: [good]\nnegative: [bad]\nmixed: [so so]\n", "not of the prompt's choices"),
        ("- good\n- bad\n", "not of the prompt's choices"),
        ("", "not of the prompt's choices"),
        ("positive: [good, great]\nnegative: [bad]\n", "same number of words"),
        ("positive: []\nnegative: []\n", "same number of words"),
        ("positive: [good]\nnegative: [good]\n", "tell the choices apart"),
        ("positive: ['']\nnegative: [bad]\n", "not a label word"),
        ("positive: [{a: b}]\nnegative: [bad]\n", "not a label word"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_it_should_be(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read_labels(written(tmp_path, text), CHOICES)
    assert caught.value.expected


def test_a_prompt_without_choices_has_no_labels_to_say_otherwise(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no closed set of answers"):
        read_labels(tmp_path / "nowhere.yaml", ())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "nowhere.yaml", CHOICES)


def test_the_template_asks_for_the_words_and_variables_stay() -> None:
    wording = Wording(
        "plain", "system:\nIs it positive or negative? Not nonnegative.\n\nuser:\n{{ negative }}\n"
    )
    named = with_words(wording, (("positive", "good"), ("negative", "bad")))
    assert named.body == "system:\nIs it good or bad? Not nonnegative.\n\nuser:\n{{ negative }}\n"
    assert named.name == "plain, labels said good / bad"


def test_capitals_are_offered_only_where_they_are_something_else() -> None:
    assert in_capitals(("good", "bad")) == (("good", "Good"), ("bad", "Bad"))
    assert in_capitals(("Good", "bad")) is None
    assert in_capitals(("1", "2")) is None
    assert in_capitals(()) is None


def likes_great(before: str, word: str) -> float:
    """Right where it may say great or awful, at random otherwise."""
    fits = (word in {"good", "great"}) == ("fine" in before.rsplit("\n", 2)[-2])
    return (-1.0 if fits else -2.0) if word in {"great", "awful"} else -1.5


def test_better_words_are_found_written_and_answered_as_the_choice(searched: Searched) -> None:
    searched.lab.write("labels.yaml", "good: [nice, great]\nbad: [poor, awful]\n")
    output = searched.folder / "better.prompty"
    found = searched.run(
        likes_great, labels=str(searched.folder / "labels.yaml"), output=str(output)
    )
    assert found.final is not None
    assert found.final.shown
    winner = found.trial(found.winner)
    assert winner is not None
    assert "labels said great / awful" in winner.wording
    prompt = load_prompt(output)
    assert prompt.choices == ("good", "bad")
    assert prompt.label_words == {"good": "great", "bad": "awful"}
    assert prompt.said == ("great", "awful")
    assert {flip.answer_after for flip in found.final.flips} <= {"good", "bad"}


def test_two_sets_of_words_are_two_candidates() -> None:
    plain = Wording("plain", "user:\n{{ x }}\n")
    keys = {
        Variant(with_words(plain, (("a", one), ("b", two)))).key
        for one, two in (("x", "y"), ("y", "x"))
    }
    assert len(keys | {Variant(plain).key}) == 3
