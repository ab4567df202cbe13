"""ROUGE-N, BLEU and GLEU; the expected numbers were computed by js-rouge 3.2.3, which promptfoo
uses, and by promptfoo 0.119 itself."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.records.score import Answer, Expectation
from localprompt.scoring.overlap import bleu, gleu, rouge_n, sentences, words
from localprompt.scoring.score import score


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


def test_abbreviations_without_end_are_read_in_linear_time() -> None:
    began = time.process_time()
    assert len(sentences("etc. " * 200_000)) <= 2
    assert sentences("word" * 30_000 + ". Then etc. and so on. End.")[1:] == [
        "Then etc. and so on.",
        "End.",
    ]
    assert time.process_time() - began < 5


def test_a_text_without_words_has_nothing_in_common() -> None:
    assert rouge_n("anything", "   ") == 0
    assert rouge_n("", "anything") == 0


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_score_is_a_share_and_a_text_equals_itself(answer: str, reference: str) -> None:
    assert 0 <= rouge_n(answer, reference) <= 1
    if words(reference):
        assert rouge_n(reference, reference) == 1


@pytest.mark.parametrize(
    ("answer", "references", "as_bleu", "as_gleu"),
    [
        ("the cat sat on the mat", ["the cat sat on the mat"], 1, 1),
        ("The cat sat on a mat today", ["the cat sat on the mat", "a cat sat on the mat."],
         0.4347208719449915, 0.5),
        ("the cat", ["the cat sat on the mat"], 0.0006159275845976681, 1 / 6),
        ("dogs bark", ["the cat sat"], 1.3956124250860887e-7, 0),
        ("the the the the", ["the cat the"], 4.728708045015879e-6, 0.2),
        ("A b c d e.", ["a b c d e", "f g"], 0.668740304976422, 1),
    ],
)  # fmt: skip
def test_bleu_and_gleu_are_promptfoos(
    answer: str, references: list[str], as_bleu: float, as_gleu: float
) -> None:
    assert bleu(answer, references) == pytest.approx(as_bleu)
    assert gleu(answer, references) == pytest.approx(as_gleu)


@pytest.mark.parametrize("kind", ["bleu", "gleu"])
def test_likeness_has_a_threshold_and_needs_words_to_compare(kind: str) -> None:
    answer = Answer("the cat sat on the mat")
    assert score(answer, Expectation(kind, "the cat sat on the mat")).passed is True
    far = score(answer, Expectation(kind, ["one", "another"]))
    assert far.passed is False
    assert "threshold 0.5" in far.reason
    assert score(answer, Expectation(kind, ["one"], negated=True)).passed is True
    assert score(Answer(" "), Expectation(kind, "one")).passed is None
    assert score(answer, Expectation(kind, ["one", " "])).passed is None
