"""Is one prompt better than another, over the same cases?

Two prompts (or models) that answered the same cases are compared case by case: what a case has
of its own, being easy or hard, then drops out, and far fewer cases tell a difference. Cases that
either side could not score are left out by the caller and counted there.

Nothing here assumes a normal distribution of scores. Random resampling starts from a fixed seed,
so the same results always give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec

from localprompt.stats.samples import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SURE = 0.05
_Z95 = 1.959963984540054  # NormalDist().inv_cdf(0.975)
_Z80 = 0.8416212335729143  # NormalDist().inv_cdf(0.8)
_RESAMPLES = 9_999
_SEED = 20_260_101
_AT_ONCE = 200_000
"""Values that are drawn together: 7 MB with what is made of them, and no slower than more."""
_EXACT_FLIPS = 16
"""Up to here all 2^n signs are tried; beyond, a random ``_RESAMPLES`` of them."""


class PassComparison(msgspec.Struct, frozen=True):
    """Pass or fail of A and B over the same cases."""

    n: int
    passed_a: int
    passed_b: int
    only_a: int
    """Cases that A passed and B failed: what B broke."""
    only_b: int
    """Cases that B passed and A failed: what B repaired."""
    difference: float
    """Pass rate of B less that of A."""
    interval: Interval
    """95 %, of the difference."""
    p_value: float
    """Exact McNemar, two-sided."""


class ScoreComparison(msgspec.Struct, frozen=True):
    """Scores of A and B over the same cases."""

    n: int
    difference: float
    """Mean score of B less that of A."""
    interval: Interval | None
    """95 %, of the difference; None where all cases differ alike."""
    p_value: float
    """Sign-flip permutation test, two-sided."""


def wilson(passed: int, n: int) -> Interval | None:
    """The 95 % interval of a pass rate; None without cases.

    Wilson (1927): stays within 0 and 1 and holds up for few cases and for rates near the ends,
    where the usual rate plus or minus two standard errors fails.
    """
    if n == 0:
        return None
    rate, z2 = passed / n, _Z95**2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    # At the ends the formula gives 0 and 1 exactly; rounding would miss them by 1e-17.
    return Interval(0.0 if passed == 0 else centre - half, 1.0 if passed == n else centre + half)


def mean_interval(values: Sequence[float]) -> Interval | None:
    """The 95 % BCa bootstrap interval of a mean; None where values do not vary.

    Equal values say nothing about what another case would give, and an interval of no width
    would claim that they do. Efron (1987); Efron and Tibshirani, An Introduction to the Bootstrap,
    14.3: percentiles of the resampled means, moved by how far their median is from the mean (the
    bias) and by how the values are skewed (the acceleration).
    """
    if len(set(values)) < 2:
        return None
    import numpy as np

    sample = np.asarray(values, dtype=float)
    mean, means = float(sample.mean()), _resampled_means(sample)
    below = float(np.count_nonzero(means < mean) + np.count_nonzero(means <= mean)) / 2
    if not 0 < below < len(means):  # values that differ by rounding only
        return None
    from statistics import NormalDist

    normal = NormalDist()
    bias, acceleration = normal.inv_cdf(below / len(means)), _acceleration(sample)

    def level(z: float) -> float:
        moved = bias + z
        return normal.cdf(bias + moved / (1 - acceleration * moved))

    low, high = np.quantile(means, (level(-_Z95), level(_Z95)))
    return Interval(float(low), float(high))


def is_shown(interval: Interval | None, adjusted: float) -> bool:
    """Whether a difference is told: its interval leaves out zero, and chance is unlikely, however
    often it was given one."""
    return interval is not None and not interval.contains(0) and adjusted < SURE


def compare_passes(a: Sequence[bool], b: Sequence[bool]) -> PassComparison:
    """Pass or fail, case by case.

    Raises:
        ValueError: not the same number of cases on both sides, or none.
    """
    _check(a, b)
    only_a = sum(x and not y for x, y in zip(a, b, strict=True))
    only_b = sum(y and not x for x, y in zip(a, b, strict=True))
    return PassComparison(
        n=len(a),
        passed_a=sum(a),
        passed_b=sum(b),
        only_a=only_a,
        only_b=only_b,
        difference=(only_b - only_a) / len(a),
        interval=paired_rate_interval(only_a, only_b, len(a)),
        p_value=mcnemar(only_a, only_b),
    )


def compare_scores(a: Sequence[float], b: Sequence[float]) -> ScoreComparison:
    """Scores, case by case.

    Raises:
        ValueError: not the same number of cases on both sides, or none.
    """
    _check(a, b)
    differences = [y - x for x, y in zip(a, b, strict=True)]
    return ScoreComparison(
        n=len(a),
        difference=math.fsum(differences) / len(a),
        interval=mean_interval(differences),
        p_value=sign_flip_test(differences),
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value: cases that flipped went either way with probability one half."""
    flipped = only_a + only_b
    tail = ways = 1  # whole numbers: exact for any number of flips
    for k in range(min(only_a, only_b)):
        ways = ways * (flipped - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / (1 << flipped))


def paired_rate_interval(only_a: int, only_b: int, n: int) -> Interval:
    """The 95 % interval of a difference of paired rates, B less A.

    Agresti and Min (2005): Wald's interval after adding one half to each of the four cells,
    which repairs its coverage for few cases and for no flips at all.
    """
    size = n + 2
    a, b = only_a + 0.5, only_b + 0.5
    difference = (b - a) / size
    half = _Z95 * math.sqrt(a + b - (b - a) ** 2 / size) / size
    return Interval(max(-1.0, difference - half), min(1.0, difference + half))


def sign_flip_test(differences: Sequence[float]) -> float:
    """Two-sided p-value of a mean difference, if A and B could be exchanged in every case.

    Exact up to 16 cases that differ; beyond, (hits + 1) / (flips + 1) over random flips, which
    is a valid p-value by itself (Phipson and Smyth 2010).
    """
    import numpy as np

    values = np.array([d for d in differences if d != 0], dtype=float)
    if values.size == 0:
        return 1.0
    # Sums of the same numbers in another order differ by rounding: equal must count as equal.
    observed = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    if values.size <= _EXACT_FLIPS:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= observed))
    hits: int = sum(int(np.sum(np.abs(sums) >= observed)) for sums in _random_flips(values))
    return (hits + 1) / (_RESAMPLES + 1)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p-values adjusted for being that many, in the same order (Holm 1979).

    Whoever compares ten prompts finds one "significant" by chance more often than not; after
    this, the chance of any false find among all is at most the level again.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    scaled = [p_values[index] * (len(order) - rank) for rank, index in enumerate(order)]
    raised = accumulate(scaled, max)
    adjusted = dict(zip(order, (min(1.0, p) for p in raised), strict=True))
    return tuple(adjusted[index] for index in range(len(p_values)))


def cases_needed_for_rates(difference: float, flipped: float) -> int:
    """Cases that would show a difference of pass rates with 80 % power at the 5 % level.

    ``flipped`` is the share of cases that the two judge differently, as seen so far; it cannot
    be smaller than the difference itself and is raised to it. Connor (1987), for McNemar's test:
    (z_a √ψ + z_b √(ψ - d²))² / d².

    Raises:
        ValueError: the difference is 0; no number of cases would show that.
    """
    d = abs(difference)
    if d == 0:
        raise ValueError("no number of cases shows a difference of 0")
    psi = min(1.0, max(flipped, d))
    return math.ceil((_Z95 * math.sqrt(psi) + _Z80 * math.sqrt(psi - d * d)) ** 2 / (d * d))


def _resampled_means(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of samples drawn from this one with replacement, in batches that bound the memory."""
    import numpy as np

    random, n = np.random.default_rng(_SEED), len(sample)
    batch = max(1, _AT_ONCE // n)
    sizes = [min(batch, _RESAMPLES - start) for start in range(0, _RESAMPLES, batch)]
    return np.concatenate([sample[random.integers(0, n, (k, n))].mean(axis=1) for k in sizes])


def _acceleration(sample: NDArray[np.float64]) -> float:
    """Σd³ / 6 (Σd²)^(3/2), d being what leaving a value out moves the mean by, in any unit."""
    import numpy as np

    moves = sample - sample.mean()
    moves /= np.abs(moves).max()  # what is tiny has a square nonetheless
    return float(np.sum(moves**3) / (6 * np.sum(moves**2) ** 1.5))


def _random_flips(values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Sums under random signs, in batches that bound the memory."""
    import numpy as np

    random = np.random.default_rng(_SEED)
    batch = max(1, 2_000_000 // values.size)
    sizes = [min(batch, _RESAMPLES - start) for start in range(0, _RESAMPLES, batch)]
    return [(2 * random.integers(0, 2, (size, values.size)) - 1) @ values for size in sizes]


def _check(a: Sequence[object], b: Sequence[object]) -> None:
    if len(a) != len(b) or not a:
        raise ValueError(f"cases have to be paired: {len(a)} on one side, {len(b)} on the other")
