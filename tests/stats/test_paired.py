"""Checked against published examples, against scipy, and by counting coverage and power."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from localprompt.stats.paired import (
    cases_needed_for_rates,
    compare_passes,
    compare_scores,
    holm,
    mcnemar,
    mean_interval,
    paired_rate_interval,
    sign_flip_test,
    wilson,
)

# Darwin's maize, crossed less self-fertilized, in eighths of an inch: Fisher, The Design of
# Experiments, section 21, counts 863 of 32768 arrangements on one side.
MAIZE = [49.0, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


# Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3.
@pytest.mark.parametrize(
    ("passed", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_has_the_published_bounds(
    passed: int, n: int, low: float, high: float
) -> None:
    found = wilson(passed, n)
    assert found is not None
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


def test_no_cases_have_no_rate() -> None:
    assert wilson(0, 0) is None


@given(st.integers(1, 500), st.data())
def test_wilsons_interval_holds_the_rate_and_stays_a_rate(n: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, n))
    found = wilson(passed, n)
    assert found is not None
    assert 0 <= found.low <= passed / n <= found.high <= 1


def test_the_sign_flip_test_counts_what_fisher_counted_for_darwin() -> None:
    assert sign_flip_test(MAIZE) == 2 * 863 / 32768


def test_random_flips_come_near_the_exact_p_value() -> None:
    differences = [*MAIZE, 1.0, -2.0]
    expected = stats.permutation_test(
        (np.array(differences),),
        np.mean,
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
        batch=2**14,
    ).pvalue
    assert sign_flip_test(differences) == pytest.approx(expected, abs=0.01)


def test_the_sign_flip_test_is_repeatable_and_never_zero() -> None:
    differences = [1.0] * 40
    assert sign_flip_test(differences) == sign_flip_test(differences) == 1 / 10_000


def test_differences_that_cancel_out_are_reached_by_every_single_flip() -> None:
    assert sign_flip_test([1.0, -1.0] * 10) == 1.0
    assert sign_flip_test([1.0, -1.0] * 1000) == 1.0  # in several batches


def test_cases_that_do_not_differ_prove_nothing() -> None:
    assert sign_flip_test([0.0] * 30) == 1.0
    assert sign_flip_test([]) == 1.0


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test_of_the_flips(only_a: int, only_b: int) -> None:
    flipped = only_a + only_b
    expected = stats.binomtest(only_a, flipped).pvalue if flipped else 1.0
    assert mcnemar(only_a, only_b) == pytest.approx(expected, abs=1e-12)


def test_mcnemar_stands_thousands_of_flips() -> None:
    assert mcnemar(3000, 3000) == 1.0
    assert 0 < mcnemar(2900, 3100) < 0.011


def test_holms_adjustment_of_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_keeps_the_order_and_never_lowers_a_p_value(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    by_raw = [adjusted[i] for i in sorted(range(len(p_values)), key=p_values.__getitem__)]
    assert by_raw == sorted(by_raw)


def test_passes_are_compared_case_by_case() -> None:
    a = [True] * 60 + [True] * 5 + [False] * 15 + [False] * 20
    b = [True] * 60 + [False] * 5 + [True] * 15 + [False] * 20
    found = compare_passes(a, b)
    assert (found.passed_a, found.passed_b, found.only_a, found.only_b) == (65, 75, 5, 15)
    assert found.difference == pytest.approx(0.10)
    assert found.p_value == pytest.approx(stats.binomtest(5, 20).pvalue)
    assert found.interval.low < 0.10 < found.interval.high


def test_unpaired_cases_are_refused() -> None:
    with pytest.raises(ValueError, match="2 on one side, 1 on the other"):
        compare_passes([True, False], [True])
    with pytest.raises(ValueError, match="paired"):
        compare_scores([], [])


@pytest.mark.parametrize(("p_a", "p_b"), [(0.1, 0.1), (0.05, 0.25), (0.02, 0.02), (0.3, 0.1)])
def test_the_interval_of_paired_rates_covers_the_difference(p_a: float, p_b: float) -> None:
    n, covered = 30, 0.0
    for only_a in range(n + 1):
        for only_b in range(n + 1 - only_a):
            rest = n - only_a - only_b
            ways = math.comb(n, only_a) * math.comb(n - only_a, only_b)
            chance = ways * p_a**only_a * p_b**only_b * (1 - p_a - p_b) ** rest
            if paired_rate_interval(only_a, only_b, n).contains(p_b - p_a):
                covered += chance
    assert covered > 0.93


@pytest.mark.parametrize(("only_a", "only_b", "n"), [(0, 0, 10), (3, 9, 40), (40, 12, 1000)])
def test_the_interval_of_paired_rates_is_walds_with_half_a_case_more_in_each_cell(
    only_a: int, only_b: int, n: int
) -> None:
    counts = np.array([only_a + 0.5, only_b + 0.5, n - only_a - only_b + 1.0])
    flips = np.array([-1.0, 1.0, 0.0])
    mean = np.average(flips, weights=counts)
    error = math.sqrt(np.average((flips - mean) ** 2, weights=counts) / counts.sum())
    found = paired_rate_interval(only_a, only_b, n)
    expected = stats.norm.interval(0.95, loc=mean, scale=error)
    assert (found.low, found.high) == pytest.approx(expected)


def test_no_difference_of_two_rates_is_held_to_be_beyond_one() -> None:
    assert paired_rate_interval(0, 1, 1).high == 1.0
    assert paired_rate_interval(1, 0, 1).low == -1.0


def test_scores_get_an_interval_and_a_p_value() -> None:
    generator = np.random.default_rng(7)
    a = generator.uniform(0, 1, 80)
    b = a + generator.normal(0.1, 0.1, 80)
    found = compare_scores(a.tolist(), b.tolist())
    assert found.n == 80
    assert found.interval is not None
    assert found.interval.contains(found.difference)
    assert found.interval.low > 0
    assert found.p_value < 0.001


def test_the_bootstrap_interval_is_repeatable_and_near_students_for_normal_values() -> None:
    values = np.random.default_rng(8).normal(5, 1, 200)
    found = mean_interval(values.tolist())
    assert found is not None
    assert found == mean_interval(values.tolist())
    low, high = stats.t.interval(0.95, 199, values.mean(), stats.sem(values))
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)


def bca_of_scipy(values: list[float]) -> tuple[float, float]:
    found = stats.bootstrap(
        (np.asarray(values, dtype=float),),
        np.mean,
        n_resamples=9_999,
        batch=max(1, 200_000 // len(values)),
        method="BCa",
        rng=np.random.default_rng(20_260_101),
    ).confidence_interval
    return float(found.low), float(found.high)


@pytest.mark.parametrize("n", [2, 3, 7, 40, 200, 3000])
@pytest.mark.parametrize("kind", ["normal", "lognormal", "thirds", "one of many", "pareto"])
def test_the_bootstrap_interval_is_scipys_to_the_ninth_digit(n: int, kind: str) -> None:
    random = np.random.default_rng(n)
    values = {
        "normal": random.normal(5, 1, n),
        "lognormal": -random.lognormal(0, 2, n),
        "thirds": np.arange(n) % 3 / 3,
        "one of many": np.eye(1, n)[0],
        "pareto": random.pareto(0.7, n),
    }[kind].tolist()
    found = mean_interval(values)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(bca_of_scipy(values), rel=1e-9, abs=1e-300)


def test_values_that_do_not_vary_have_no_bootstrap_interval() -> None:
    assert mean_interval([1.0] * 10) is None
    assert mean_interval([1.0]) is None


def test_values_that_vary_by_rounding_or_beyond_what_squares_hold_do_no_harm() -> None:
    assert mean_interval([1.0, np.nextafter(1.0, 2)] * 5) is not None
    found = mean_interval([1e-200, 3e-200, 4e-200, 1e-200, 9e-200])
    assert found is not None
    assert 1e-200 <= found.low < found.high <= 9e-200


def test_the_bootstrap_needs_nothing_but_numpy() -> None:
    code = (
        "import sys; from localprompt.stats.paired import mean_interval; mean_interval([1, 2, 4])\n"
        "sys.exit('scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_cases_needed_give_about_the_promised_power() -> None:
    difference, flipped = 0.10, 0.20
    n = cases_needed_for_rates(difference, flipped)
    generator = np.random.default_rng(9)
    only_b, only_a = (flipped + difference) / 2, (flipped - difference) / 2
    draws = generator.multinomial(n, [only_a, only_b, 1 - flipped], size=2000)
    power = np.mean([mcnemar(int(a), int(b)) < 0.05 for a, b, _ in draws])
    assert 0.72 < power < 0.88  # the exact test needs a few more than the formula's normal one


def test_smaller_differences_need_more_cases() -> None:
    assert cases_needed_for_rates(0.02, 0.2) > 20 * cases_needed_for_rates(0.1, 0.2)
    assert cases_needed_for_rates(-0.1, 0.2) == cases_needed_for_rates(0.1, 0.2)


def test_no_number_of_cases_shows_no_difference() -> None:
    with pytest.raises(ValueError, match="difference of 0"):
        cases_needed_for_rates(0.0, 0.2)
