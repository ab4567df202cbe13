"""Guessing what an answer copies."""

from __future__ import annotations

import random

from localprompt.engine.lookup import MOST_GUESSED, Lookup


def test_what_followed_the_last_tokens_before_is_guessed() -> None:
    lookup = Lookup([0, 1, 2, 3, 4, 5, 6, 7, 8])
    assert lookup.guess(8) == []
    lookup.add([1, 2, 3, 4])
    assert lookup.guess(8)[:3] == [5, 6, 7]
    assert lookup.guess(1) == [5]


def test_the_last_place_is_the_one_that_counts() -> None:
    lookup = Lookup([0, 1, 2, 3, 4, 9, 0, 1, 2, 3, 5, 9])
    lookup.add([0, 1, 2, 3])
    assert lookup.guess(1) == [5]


def test_a_run_is_not_found_in_itself() -> None:
    assert Lookup([1, 2, 3, 4]).guess(4) == []
    assert Lookup([1, 1, 1, 1, 1]).guess(2) == [1], "but repetition is"


def test_right_guesses_make_longer_ones_and_wrong_ones_a_pause() -> None:
    ids = list(range(100))
    lookup = Lookup(ids)
    lookup.add([9, 10, 11, 12])
    first = lookup.guess(99)
    for _ in range(5):
        lookup.told(len(first), len(first))
    assert len(lookup.guess(99)) == MOST_GUESSED
    lookup.told(3, 0)
    assert lookup.guess(99) == []
    lookup.add(range(13, 40))
    assert lookup.guess(99)[:3] == [40, 41, 42]


def test_where_nothing_repeats_little_is_lost() -> None:
    draw = random.Random(0)
    lookup = Lookup([])
    lost = 0
    for _ in range(600):
        if guesses := lookup.guess(8):
            lost += len(guesses)
            lookup.told(len(guesses), 0)
        lookup.add([draw.randrange(4)])
    assert lost < 60
