"""Checked against published tables and examples, against scipy, and by counting coverage."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from localprompt.stats.samples import (
    Interval,
    compare,
    median_interval,
    quantile,
    robust_spread,
    summarize,
    trend,
)

finite = st.floats(-1e6, 1e6)
positive = st.integers(1, 10**9).map(lambda n: n / 1000)

# Permeability of human chorioamnion, at term and at 12 to 26 weeks: the worked example of the
# rank sum procedures in Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, ch. 4.
AT_TERM = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
EARLIER = [1.15, 0.88, 0.90, 0.74, 1.21]


@given(st.lists(finite, min_size=1, max_size=50), st.floats(0, 1))
def test_quantiles_are_those_of_numpy(samples: list[float], q: float) -> None:
    assert quantile(sorted(samples), q) == pytest.approx(np.quantile(samples, q), abs=1e-6)


def test_a_summary_of_known_samples() -> None:
    found = summarize([3.0, 1.0, 2.0, 5.0, 4.0, 9.0])
    assert (found.n, found.median, found.mean) == (6, 3.5, 4.0)
    assert found.stdev == pytest.approx(np.std([3, 1, 2, 5, 4, 9], ddof=1))
    assert (found.p5, found.p95) == (1.25, 8.0)
    assert (found.minimum, found.maximum) == (1.0, 9.0)
    assert found.interval == Interval(1.0, 9.0)
    assert found.relative_half_width == pytest.approx(4 / 3.5)
    assert found.samples == (3.0, 1.0, 2.0, 5.0, 4.0, 9.0)


def test_one_sample_has_no_spread_and_no_interval() -> None:
    found = summarize([2.0])
    assert found.stdev is None
    assert found.interval is None
    assert found.relative_half_width is None
    assert found.median == 2.0


def test_nothing_measured_has_no_summary() -> None:
    with pytest.raises(ValueError, match="no samples"):
        summarize([])


# Ranks of the 95 % interval of the median, as tabulated since Thompson (1936).
@pytest.mark.parametrize(
    ("n", "rank"),
    [(5, 0), (6, 1), (8, 1), (9, 2), (12, 3), (15, 4), (20, 6), (25, 8), (30, 10), (50, 18)],
)
def test_the_interval_of_the_median_has_the_tabulated_ranks(n: int, rank: int) -> None:
    expected = Interval(rank, n + 1 - rank) if rank else None
    assert median_interval(range(1, n + 1)) == expected


@pytest.mark.parametrize("n", [6, 7, 10, 33, 100, 1000, 5000])
def test_the_interval_of_the_median_is_the_narrowest_that_keeps_its_promise(n: int) -> None:
    found = median_interval(range(1, n + 1))
    assert found is not None
    rank = int(found.low)
    assert stats.binom.cdf(rank - 1, n, 0.5) <= 0.025 < stats.binom.cdf(rank, n, 0.5)


def test_the_interval_of_the_median_covers_it_for_skewed_samples() -> None:
    source = random.Random(1)
    true_median = 2**0.5  # of a Pareto distribution with exponent 2
    held = 0
    for _ in range(2000):
        found = median_interval(sorted(source.paretovariate(2) for _ in range(11)))
        held += found is not None and found.contains(true_median)
    assert held / 2000 > 0.95


# Critical values of Mann and Whitney's U, two-sided 5 %: the rank is one more.
@pytest.mark.parametrize(
    ("m", "n", "critical"),
    [(4, 4, 0), (5, 5, 2), (4, 8, 4), (8, 8, 13), (10, 10, 23), (20, 20, 127)],
)
def test_the_interval_of_a_difference_has_the_tabulated_rank(m: int, n: int, critical: int) -> None:
    # All differences are distinct whole numbers, so the bound tells its own rank.
    a = [float(-i) for i in range(m)]
    b = [float(j * m) for j in range(n)]
    assert compare(a, b).difference_interval == Interval(critical, m * n - 1 - critical)


def test_a_worked_example_of_the_rank_sum_interval() -> None:
    found = compare(AT_TERM, EARLIER)
    assert found.difference == pytest.approx(-0.305)
    assert found.difference_interval is not None
    assert found.difference_interval.low == pytest.approx(-0.76)
    assert found.difference_interval.high == pytest.approx(0.15)
    assert found.verdict == "no difference shown"


def test_three_against_three_are_too_few_to_tell() -> None:
    found = compare([1.0, 1.1, 1.2], [9.0, 9.1, 9.2])
    assert found.verdict == "too few samples"
    assert found.difference_interval is None
    assert found.ratio_interval is None
    assert found.ratio == pytest.approx(9.1 / 1.1)


def test_twice_as_slow_is_higher_with_a_ratio_near_two() -> None:
    a = [1.0, 1.01, 0.99, 1.02, 0.98, 1.0]
    found = compare(a, [2 * x for x in a])
    assert found.verdict == "higher"
    assert found.ratio == pytest.approx(2.0)
    assert found.ratio_interval is not None
    assert 1.9 < found.ratio_interval.low < 2.0 < found.ratio_interval.high < 2.1


def test_equal_constants_show_no_difference_and_unequal_ones_do() -> None:
    assert compare([5.0] * 6, [5.0] * 6).verdict == "no difference shown"
    found = compare([5.0] * 6, [4.0] * 6)
    assert found.verdict == "lower"
    assert found.ratio_interval == Interval(0.8, 0.8)


def test_a_zero_among_the_samples_leaves_the_ratio_unknown() -> None:
    found = compare([0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0])
    assert found.ratio is None
    assert found.ratio_interval is None
    assert found.difference_interval is not None


samples_of_a = st.lists(positive, min_size=1, max_size=12)


@given(samples_of_a, samples_of_a)
def test_ratio_and_difference_never_disagree_about_the_verdict(
    a: list[float], b: list[float]
) -> None:
    found = compare(a, b)
    if found.ratio_interval is None or found.difference_interval is None:
        assert found.verdict == "too few samples"
        return
    assert found.ratio is not None
    assert found.ratio_interval.contains(found.ratio)
    assert found.difference_interval.contains(found.difference)
    assert found.ratio_interval.contains(1) == found.difference_interval.contains(0)
    assert (found.verdict == "no difference shown") == found.ratio_interval.contains(1)


@given(samples_of_a, samples_of_a)
def test_exchanging_the_sides_turns_the_verdict_round(a: list[float], b: list[float]) -> None:
    turned = {"lower": "higher", "higher": "lower"}
    forth, back = compare(a, b).verdict, compare(b, a).verdict
    assert back == turned.get(forth, forth)


def test_the_verdict_is_the_one_of_the_exact_mann_whitney_test() -> None:
    source = random.Random(2)
    for _ in range(100):
        a = [source.gauss(0, 1) for _ in range(7)]
        b = [source.gauss(1, 1) for _ in range(9)]
        p = stats.mannwhitneyu(a, b, method="exact").pvalue
        assert (compare(a, b).verdict == "no difference shown") == (p > 0.05)


def test_many_samples_use_the_normal_distribution_with_nearly_the_same_bounds() -> None:
    source = random.Random(3)
    a = [source.gauss(10, 1) for _ in range(60)]
    b = [source.gauss(10, 1) for _ in range(60)]
    p = stats.mannwhitneyu(a, b, method="asymptotic").pvalue
    assert (compare(a, b).verdict == "no difference shown") == (p > 0.05)
    exact, approximate = compare(a[:50], b[:50]), compare(a[:51], b[:50])
    assert exact.difference_interval is not None
    assert approximate.difference_interval is not None
    assert exact.difference_interval.low == pytest.approx(
        approximate.difference_interval.low, abs=0.1
    )


def test_equal_distributions_are_told_apart_at_most_once_in_twenty() -> None:
    source = random.Random(4)
    false_finds = 0
    for _ in range(1000):
        a = [source.lognormvariate(0, 0.1) for _ in range(8)]
        b = [source.lognormvariate(0, 0.1) for _ in range(8)]
        false_finds += compare(a, b).verdict != "no difference shown"
    assert false_finds <= 65  # 5 % and two and a half standard errors


@given(st.lists(finite, min_size=3, max_size=30, unique=True))
def test_the_trend_is_kendalls_exact_test(samples: list[float]) -> None:
    found = trend(samples)
    assert found is not None
    expected = stats.kendalltau(range(len(samples)), samples, method="exact").pvalue
    assert found.p_value == pytest.approx(expected, rel=1e-9)


def test_long_trends_use_the_normal_distribution() -> None:
    source = random.Random(5)
    samples = [source.gauss(0, 1) + 0.01 * i for i in range(80)]
    found = trend(samples)
    expected = stats.kendalltau(range(80), samples, method="asymptotic").pvalue
    assert found is not None
    assert found.p_value == pytest.approx(expected, rel=0.05)


def test_a_line_has_the_trend_of_its_slope() -> None:
    found = trend([10.0, 11.0, 12.0, 13.0, 14.0, 15.0])
    assert found is not None
    assert found.change == 5.0
    assert found.p_value == pytest.approx(2 / 720)


def test_two_samples_have_no_trend() -> None:
    assert trend([1.0, 2.0]) is None


def test_constant_samples_have_no_drift() -> None:
    found = trend([3.0] * 8)
    assert found is not None
    assert (found.change, found.p_value) == (0.0, 1.0)


def test_the_robust_spread_is_not_moved_by_one_wild_sample() -> None:
    calm = robust_spread([10.0, 11.0, 9.0, 10.5, 9.5])
    assert robust_spread([10.0, 11.0, 9.0, 10.5, 1000.0]) < 2 * calm
