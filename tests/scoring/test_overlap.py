"""ROUGE-N; the expected numbers were computed by js-rouge 3.2.3, which promptfoo uses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.scoring.overlap import rouge_n, sentences, words


def test_punctuation_and_clitics_are_words_of_their_own() -> None:
    assert words("They don't, cannot; it's John's.") == (
        ["They", "do", "n't", ",", "can", "not", ";", "it", "'s", "John", "'s", "."]
    )


def test_numbers_and_abbreviations_keep_their_points() -> None:
    assert words("U.S. sales were 1,000.50 today.") == (
        ["U.S.", "sales", "were", "1,000.50", "today", "."]
    )


def test_a_text_is_cut_into_sentences_but_not_behind_abbreviations() -> None:
    text = "Dr. Smith came at 5 p.m. today. it was late! Was it? One\ntwo... three"
    assert sentences(text) == [
        "Dr. Smith came at 5 p.m. today.", "it was late!", "Was it?", "One", "two... three",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "reference", "score"),
    [
        ("the cat sat", "the cat sat on the mat", 2 / 3),
        ("the the the", "the cat", 0.4),
        ("cat", "the cat the", 0.5),
        ("a b", "b a b a", 2 / 3),
        ("Hello, world!", "hello world", 1 / 3),
        ("The cat. sat", "the cat's sat", 0.5),
        ("supposedly waterproof. my phone disagrees.",
         "Supposedly waterproof. My phone disagrees.", 5 / 7),
        ("He said no.", "He said \"no.\"", 0.8),
    ],
)  # fmt: skip
def test_the_score_is_the_harmonic_mean_of_precision_and_recall(
    answer: str, reference: str, score: float
) -> None:
    assert rouge_n(answer, reference) == pytest.approx(score)


def test_bigrams_ask_for_the_order() -> None:
    assert rouge_n("world hello", "hello world", n=2) == 0


def test_a_text_without_words_has_nothing_in_common() -> None:
    assert rouge_n("anything", "   ") == 0
    assert rouge_n("", "anything") == 0


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_score_is_a_share_and_a_text_equals_itself(answer: str, reference: str) -> None:
    assert 0 <= rouge_n(answer, reference) <= 1
    if words(reference):
        assert rouge_n(reference, reference) == 1
