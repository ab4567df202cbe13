"""Closed answers: what a choice weighs, and three ways to take a habit out."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import optimize

from localprompt.scoring.closed import (
    batch_bias,
    fitted_bias,
    habit,
    heaviest,
    shares,
    weigh,
)


def cases_of_a_habit(seed: int, n: int = 200) -> tuple[list[dict[str, float]], list[str]]:
    """A model that knows the answer more often than not, and likes to say "good"."""
    source = random.Random(seed)
    cases, right = [], []
    for index in range(n):
        label = ("good", "bad", "even")[index % 3]
        case = {choice: source.gauss(-6.0, 1.0) for choice in ("good", "bad", "even")}
        case[label] += 1.5
        case["good"] += 3.0
        cases.append(case)
        right.append(label)
    return cases, right


def test_a_choice_weighs_its_log_probability_and_its_bias() -> None:
    assert weigh({"yes": -1.0, "no": -2.0}) == {"yes": -1.0, "no": -2.0}
    assert weigh({"yes": -1.0, "no": -2.0}, bias={"no": 1.5}) == {"yes": -1.0, "no": -0.5}


def test_per_byte_divides_by_bytes_and_not_the_bias() -> None:
    assert weigh({"né": -6.0}, per_byte=True, bias={"né": 1.0}) == {"né": -1.0}


def test_the_first_of_equals_is_taken() -> None:
    assert heaviest({"b": -1.0, "a": -1.0, "c": -3.0}) == "b"


def test_shares_are_those_of_the_logarithms_however_small_these_are() -> None:
    found = shares({"a": math.log(3) - 5000, "b": -5000.0})
    assert found == pytest.approx({"a": 0.75, "b": 0.25})


def test_under_the_bias_of_a_habit_all_choices_weigh_the_same() -> None:
    after_nothing = {"good": -1.0, "bad": -4.0, "even": -7.0}
    bias = habit(after_nothing)
    assert bias == {"good": -3.0, "bad": 0.0, "even": 3.0}
    assert set(weigh(after_nothing, bias=bias).values()) == {-4.0}


def test_under_the_bias_of_a_batch_no_choice_is_preferred_over_its_cases() -> None:
    cases = [{"no": -1.0, "maybe": -10.0}, {"no": -5.0, "maybe": -20.0}]
    assert batch_bias(cases) == {"no": -6.0, "maybe": 6.0}
    assert batch_bias(cases, per_byte=True) == {"no": -0.75, "maybe": 0.75}


def test_a_fitted_bias_is_the_most_probable_one() -> None:
    cases, right = cases_of_a_habit(1)
    names = list(cases[0])
    logs = np.array([list(case.values()) for case in cases])
    wanted = [names.index(label) for label in right]

    def unlikely(at: np.ndarray) -> float:
        weights = at[0] * logs + at[1:]
        at_right = weights[np.arange(len(cases)), wanted]
        return float((np.logaddexp.reduce(weights, axis=1) - at_right).mean())

    best = optimize.minimize(unlikely, np.array([1.0, 0.0, 0.0, 0.0])).x
    expected = (best[1:] - best[1:].mean()) / best[0]
    found = fitted_bias(cases, right)
    assert list(found.values()) == pytest.approx(list(expected), abs=0.05)
    assert sum(found.values()) == pytest.approx(0, abs=1e-3)


def test_a_fitted_bias_repairs_what_a_habit_broke_in_cases_not_seen() -> None:
    bias = fitted_bias(*cases_of_a_habit(2))
    cases, right = cases_of_a_habit(3)

    def hits(added: dict[str, float]) -> int:
        pairs = zip(cases, right, strict=True)
        return sum(heaviest(weigh(case, bias=added)) == label for case, label in pairs)

    assert hits(bias) > hits({}) + 40


def test_how_probable_all_choices_of_a_case_are_together_does_not_move_the_fit() -> None:
    cases, right = cases_of_a_habit(4)
    moved = [
        {choice: value - 50 * (index % 7) for choice, value in case.items()}
        for index, case in enumerate(cases)
    ]
    assert fitted_bias(moved, right) == pytest.approx(fitted_bias(cases, right), abs=2e-4)


def test_cases_that_say_nothing_have_a_fit_from_their_labels_alone() -> None:
    flat = {"good": -2.0, "bad": -2.0}
    found = fitted_bias([flat] * 4, ["good", "good", "good", "bad"])
    assert found["good"] == -found["bad"] > 0.4
