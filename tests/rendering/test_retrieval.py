"""Okapi BM25, against the formula written out once more."""

from __future__ import annotations

import math
import random
import time

import pytest

from localprompt.rendering.retrieval import Index, words


def by_the_formula(question: str, passages: list[str]) -> list[float]:
    """Robertson and Zaragoza 2009, 3.3, with k1 = 1.2 and b = 0.75."""
    bags = [words(passage) for passage in passages]
    usual = sum(len(bag) for bag in bags) / len(bags)
    scores = []
    for bag in bags:
        total = 0.0
        for word in words(question):
            holding = sum(word in other for other in bags)
            rarity = math.log(1 + (len(bags) - holding + 0.5) / (holding + 0.5))
            saturated = bag.count(word) + 1.2 * (1 - 0.75 + 0.75 * len(bag) / usual)
            total += rarity * bag.count(word) * 2.2 / saturated
        scores.append(total)
    return scores


def test_passages_are_ranked_as_by_the_formula() -> None:
    source = random.Random(1)
    vocabulary = [f"word{number}" for number in range(30)]
    usual = [1 / (1 + number) for number in range(30)]

    def text(length: int) -> str:
        return " ".join(source.choices(vocabulary, usual, k=length))

    passages = [text(source.randint(2, 40)) for _ in range(80)]
    index = Index(passages)
    for question in [text(3) for _ in range(50)]:
        scores = by_the_formula(question, passages)
        found = [scores[at] for at in index.ranked(question)]
        assert found == pytest.approx(sorted(scores, reverse=True), abs=1e-9)


def test_a_rare_word_counts_for_more_than_a_usual_one() -> None:
    passages = ["the cat", "the dog", "the owl", "an ibis"]
    assert Index(passages).best("the ibis") == "an ibis"


def test_a_question_that_no_passage_shares_a_word_with_gets_the_first() -> None:
    assert Index(["one", "two"]).best("three") == "one"
    assert Index(["one", "two"]).ranked("three") == [0, 1]


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert words("Don't STOP, now.") == ["don", "t", "stop", "now"]
    assert Index(["x", "STOP!"]).best("stop") == "STOP!"


def test_passages_without_words_are_passages() -> None:
    assert Index(["!", "?"]).ranked("what") == [0, 1]
    assert Index(["!", "word"]).ranked("word") == [1, 0]


def test_a_question_of_any_length_costs_what_it_has_in_common() -> None:
    index = Index([f"passage {number}" for number in range(20_000)])
    began = time.process_time()
    question = " ".join(f"other{number}" for number in range(100_000))
    assert index.best(f"{question} 777") == "passage 777"
    assert time.process_time() - began < 5
