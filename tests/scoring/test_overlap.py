from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.scoring.text_checks import rouge_n, words


def test_punctuation_and_clitics_are_words_of_their_own() -> None:
    assert words("They don't, cannot; it's John's.") == (
        ["they", "do", "n't", ",", "can", "not", ";", "it", "'s", "john", "'s", "."]
    )


def test_numbers_and_abbreviations_keep_their_points() -> None:
    assert words("U.S. sales were 1,000.50 today.") == (
        ["u.s.", "sales", "were", "1,000.50", "today", "."]
    )


def test_recall_counts_a_repeated_word_once_per_occurrence() -> None:
    assert rouge_n("the cat", "the cat the cat") == pytest.approx(0.5)
    assert rouge_n("the the the the", "the cat") == pytest.approx(0.5)


def test_recall_ignores_case_and_surplus_words() -> None:
    assert rouge_n("Well: HELLO there, World", "hello world") == 1


def test_bigrams_ask_for_the_order() -> None:
    assert rouge_n("world hello", "hello world", n=2) == 0


def test_a_reference_without_words_has_no_recall() -> None:
    assert rouge_n("anything", "   ") == 0


@given(st.text(max_size=60), st.text(max_size=60))
def test_recall_is_a_share_and_a_text_recalls_itself(answer: str, reference: str) -> None:
    assert 0 <= rouge_n(answer, reference) <= 1
    if words(reference):
        assert rouge_n(reference, reference) == 1
