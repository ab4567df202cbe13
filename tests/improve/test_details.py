"""Small changes to a wording: each by itself, the best of them together."""

from __future__ import annotations

import pytest

from localprompt.improve.details import changes_of, in_quotes, other_way_round, sentences
from localprompt.improve.wordings import Wording
from localprompt.records.prompt import InputSpec, PromptTemplate
from tests.improve.test_search import Searched, luck, searched

__all__ = ["searched"]

CHOICES = ("positive", "negative")
PLAIN = PromptTemplate(
    name="sentiment-plain",
    body="system:\nIs it positive or negative?\n\nuser:\nReview: {{ review }}\n",
    inputs=(InputSpec("review", required=True),),
    choices=CHOICES,
)


@pytest.mark.parametrize(
    ("text", "turned"),
    [
        ("Is it positive or negative?", "Is it negative or positive?"),
        ("Positive or negative?", "Negative or positive?"),
        ("Answer positive/negative.", "Answer negative/positive."),
        ("(Positive, Negative)", "(Negative, Positive)"),
        ("Say positive if it is kind, negative if not.", None),
        ("Is it positive or positive?", None),
        ("nonpositive or negatively", None),
        ("{{ positive }} or negative", None),
    ],
)
def test_only_lists_of_all_choices_are_turned_round(text: str, turned: str | None) -> None:
    assert other_way_round(text, CHOICES) == (text if turned is None else turned)


def test_a_longer_list_keeps_its_commas_and_its_or() -> None:
    choices = ("account", "billing", "shipping", "technical")
    text = "Which desk: account, billing, shipping, or technical?"
    assert other_way_round(text, choices) == "Which desk: technical, shipping, billing, or account?"
    assert other_way_round("account, billing or shipping", choices) == (
        "account, billing or shipping"
    )
    assert other_way_round("one", ("one",)) == "one"


def test_choices_that_hold_each_other_are_told_apart() -> None:
    choices = ("good", "very good", "a.b")
    assert other_way_round("good, very good or a.b", choices) == "a.b, very good or good"


@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        ("user:\nReview: {{ review }}\nTone:\n", 'user:\nReview: "{{ review }}"\nTone:\n'),
        ("user:\n{{ review }}\n", 'user:\n"{{ review }}"\n'),
        ('user:\nReview: "{{ review }}"\n', None),
        ("user:\nIs {{ review }} kind?\n", None),
        ("user:\n{% if review %}\n{{ review }}\n{% endif %}\n", None),
    ],
)
def test_inputs_that_end_a_line_are_put_in_quotes(body: str, quoted: str | None) -> None:
    assert in_quotes(body) == (body if quoted is None else quoted)


def test_an_answer_is_said_in_a_sentence_and_recorded_as_the_choice() -> None:
    wording = Wording("as it is", PLAIN.body)
    made = [new for change in changes_of(PLAIN, ()) if (new := change.made(wording)) is not None]
    said = {dict(new.words)["positive"] for new in made if new.words}
    assert "The sentiment of the review is positive" in said
    assert {"Sentiment: positive", "The answer is positive", "This review is positive"} < said
    assert all(new.body == PLAIN.body for new in made if new.words)


def test_words_of_the_users_own_are_not_put_into_sentences() -> None:
    wording = Wording("as it is", PLAIN.body, (("positive", "good"), ("negative", "bad")))
    assert all(
        new is None or new.words == wording.words
        for new in (change.made(wording) for change in changes_of(PLAIN, ()))
    )


def test_several_inputs_and_a_name_that_says_nothing_give_fewer_sentences() -> None:
    assert list(sentences([], None)) == ["Answer: {}", "The answer is {}"]


def likes_quotes_and_a_beginning(before: str, word: str) -> float:
    """Right more often in quotes, and where the answer has been begun; most often with both."""
    fits = (word.strip() == "good") == ("fine" in before)
    share = 0.55 + 0.2 * (before.count('"') >= 2) + 0.2 * before.rstrip().endswith("The answer is")
    return -1.0 if fits == (luck(before) < share) else -2.0


def test_what_helps_by_itself_is_put_together(searched: Searched) -> None:
    found = searched.run(likes_quotes_and_a_beginning, search=("wordings", "scoring"))
    winner = found.trial(found.winner)
    assert winner is not None
    assert "input in quotes" in winner.wording
    assert "answers said 'The answer is …'" in winner.wording
    assert found.final is not None
    assert found.final.after > 0.85
