from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localprompt.scoring import distance
from localprompt.scoring.distance import levenshtein
from localprompt.scoring.expectations import CannotScoreError

texts = st.text(alphabet="abc é", max_size=24)


def by_the_table(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


@given(texts, texts)
def test_the_bit_parallel_distance_is_that_of_the_table(a: str, b: str) -> None:
    assert levenshtein(a, b, limit=100) == by_the_table(a, b)


@given(texts, texts, st.integers(0, 12))
@settings(max_examples=200)
def test_the_diagonals_know_every_distance_up_to_the_limit(a: str, b: str, limit: int) -> None:
    exact, distance.EXACT_CELLS = distance.EXACT_CELLS, -1
    try:
        found = levenshtein(a, b, limit)
    finally:
        distance.EXACT_CELLS = exact
    expected = by_the_table(a, b)
    assert found == (expected if expected <= limit else None)


def test_a_long_text_with_a_few_edits_is_compared_to_its_end() -> None:
    text = "the quick brown fox " * 5000
    edited = "X" + text[1:50_000] + text[50_001:-1] + "Y"
    assert levenshtein(text, edited, limit=5) == 3


def test_two_long_unrelated_texts_are_more_than_five_edits_apart() -> None:
    assert levenshtein("ab" * 50_000, "cd" * 50_000, limit=5) is None


def test_a_large_threshold_on_long_texts_is_refused() -> None:
    with pytest.raises(CannotScoreError, match=r"too long.*threshold of 9,000"):
        levenshtein("ab" * 50_000, "cd" * 50_000, limit=9000)
