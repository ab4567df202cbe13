"""What repeated measurements say, and how sure it is.

Pure arithmetic over the raw samples, in plain Python: ``ask`` pays for it too, and no bench has
enough repetitions to need more. Times on a computer are skewed, with a floor and a long tail, so
everything here rests on ranks instead of a normal distribution:

* an interval of the median comes from the binomial distribution of how many samples lie below it,
* a comparison comes from the Wilcoxon-Mann-Whitney test, turned round into an interval,
* a trend comes from Kendall's rank correlation with time.

All three are exact for independent samples, at any size, whatever the distribution; where there
are too few samples for 95 %, they say so instead of giving a smaller promise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, combinations
from typing import Literal

import msgspec

CONFIDENCE = 0.95
_TAIL = (1 - CONFIDENCE) / 2
_Z95 = 1.959963984540054  # NormalDist().inv_cdf(0.975)

# Beyond these sizes the exact null distributions cost more than they add to the normal one.
_EXACT_PAIRS = 2_500
_EXACT_TREND = 40

Verdict = Literal["lower", "higher", "no difference shown", "too few samples"]


class Interval(msgspec.Struct, frozen=True):
    low: float
    high: float

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high


class Summary(msgspec.Struct, frozen=True):
    """One quantity, measured ``n`` times; in the unit of the samples."""

    n: int
    median: float
    mean: float
    stdev: float | None
    """With n - 1; None for one sample."""
    p5: float
    p95: float
    minimum: float
    maximum: float
    interval: Interval | None
    """Holds the median with at least 95 % confidence; None below six samples."""
    samples: tuple[float, ...]
    """In the order in which they were taken."""

    @property
    def relative_half_width(self) -> float | None:
        """Half the interval's width as a share of the median: what more repetitions shrink."""
        if self.interval is None or self.median == 0:
            return None
        return (self.interval.high - self.interval.low) / 2 / abs(self.median)


class Comparison(msgspec.Struct, frozen=True):
    """Two sets of samples of one quantity; B is compared with A."""

    a: Summary
    b: Summary
    ratio: float | None
    """B / A: the median of all pairwise ratios; None where a sample is not positive."""
    ratio_interval: Interval | None
    difference: float
    """B - A: the median of all pairwise differences (Hodges-Lehmann)."""
    difference_interval: Interval | None
    verdict: Verdict
    """What B is, compared with A. Whether lower is better, the quantity must know."""


class Trend(msgspec.Struct, frozen=True):
    """How samples move with the order in which they were taken."""

    p_value: float
    """Two-sided, of Kendall's test: how often chance alone gives an order like this."""
    change: float
    """From the first sample to the last along the Theil-Sen line, in the samples' unit."""


def quantile(ordered: Sequence[float], q: float) -> float:
    """The value below which the share ``q`` of the sorted samples lies.

    Linear between neighbours: definition 7 of Hyndman and Fan (1996), numpy's default.
    """
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return low + (position - below) * (high - low)


def median(samples: Sequence[float]) -> float:
    return quantile(sorted(samples), 0.5)


def summarize(samples: Sequence[float]) -> Summary:
    """The figures of one or more samples, given in the order in which they were taken.

    Raises:
        ValueError: there are no samples. Nothing measured has no summary.
    """
    if not samples:
        raise ValueError("no samples to summarize")
    n, ordered = len(samples), sorted(samples)
    mean = math.fsum(samples) / n
    squares = math.fsum((sample - mean) ** 2 for sample in samples)
    return Summary(
        n=n,
        median=quantile(ordered, 0.5),
        mean=mean,
        stdev=math.sqrt(squares / (n - 1)) if n > 1 else None,
        p5=quantile(ordered, 0.05),
        p95=quantile(ordered, 0.95),
        minimum=ordered[0],
        maximum=ordered[-1],
        interval=median_interval(ordered),
        samples=tuple(samples),
    )


def median_interval(ordered: Sequence[float]) -> Interval | None:
    """The distribution-free 95 % interval of the median, from the k-th sample of each end.

    A sample lies below the median with probability one half, so the number that do is binomial,
    and the median lies outside (x_k, x_(n+1-k)) with probability 2 P(Binomial(n, 1/2) < k). The
    largest k that keeps this within 5 % is taken (David and Nagaraja, Order Statistics, 7.1).
    Below six samples there is none: even the whole range holds the median too rarely.
    """
    n = len(ordered)
    terms = (_binomial_half(n, k) for k in range(n + 1))
    k = sum(1 for tail in accumulate(terms) if tail <= _TAIL)
    return Interval(ordered[k - 1], ordered[n - k]) if k else None


def compare(a: Sequence[float], b: Sequence[float]) -> Comparison:
    """B against A, for independent samples: repetitions of two cells, of two versions.

    The interval holds those shifts of B that the two-sided Mann-Whitney test at 5 % would not
    refuse (Moses 1965; Hollander, Wolfe and Chicken, 4.3): the k-th smallest and k-th largest of
    all pairwise differences, and, because logarithms keep the order, of all pairwise ratios. Both
    intervals use the same k, so one leaves out 0 exactly when the other leaves out 1, and the
    verdict cannot depend on which is shown.

    Raises:
        ValueError: one side has no samples.
    """
    left, right = summarize(a), summarize(b)
    differences = sorted(y - x for x in a for y in b)
    positive = min(left.minimum, right.minimum) > 0
    ratios = sorted(y / x for x in a for y in b) if positive else []
    k = _mann_whitney_rank(len(a), len(b))
    return Comparison(
        a=left,
        b=right,
        ratio=quantile(ratios, 0.5) if ratios else None,
        ratio_interval=Interval(ratios[k - 1], ratios[-k]) if k and ratios else None,
        difference=quantile(differences, 0.5),
        difference_interval=Interval(differences[k - 1], differences[-k]) if k else None,
        verdict=_verdict(differences, k),
    )


def trend(samples: Sequence[float]) -> Trend | None:
    """Drift over the samples in their order; None for fewer than three.

    Kendall's test of rank correlation with time (Mann 1945) and the median of all pairwise
    slopes (Theil 1950, Sen 1968). Ties count as no order, which errs towards no drift.
    """
    n = len(samples)
    if n < 3:
        return None
    pairs = list(combinations(enumerate(samples), 2))
    score = abs(sum((later > earlier) - (later < earlier) for (_, earlier), (_, later) in pairs))
    slopes = sorted((later - earlier) / (j - i) for (i, earlier), (j, later) in pairs)
    change = quantile(slopes, 0.5) * (n - 1)
    return Trend(p_value=_kendall_p_value(n, score), change=change)


def robust_spread(samples: Sequence[float]) -> float:
    """The median absolute deviation, scaled to the standard deviation of a normal distribution."""
    middle = median(samples)
    return 1.4826 * median([abs(sample - middle) for sample in samples])


def _verdict(differences: Sequence[float], k: int) -> Verdict:
    if not k:
        return "too few samples"
    if differences[-k] < 0:
        return "lower"
    return "higher" if differences[k - 1] > 0 else "no difference shown"


def _binomial_half(n: int, k: int) -> float:
    """P(Binomial(n, 1/2) = k); through logarithms, so that large n does not overflow."""
    log_ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log_ways - n * math.log(2))


def _mann_whitney_rank(m: int, n: int) -> int:
    """Which pair, counted from either end, bounds the interval: the largest k with P(U < k)
    within 2.5 %. 0 where there is none, as for three samples against three.
    """
    if m * n > _EXACT_PAIRS:
        spread = math.sqrt(m * n * (m + n + 1) / 12)
        return max(0, math.floor(m * n / 2 - _Z95 * spread))
    ways = _rank_sum_ways(m, n)
    allowed = _TAIL * math.comb(m + n, m)
    return sum(1 for tail in accumulate(ways) if tail <= allowed)


def _rank_sum_ways(m: int, n: int) -> list[int]:
    """In how many of the C(m+n, m) orders U is 0, 1, … mn: a Gaussian binomial coefficient.

    Its generating function is the product over i = 1 … m of (1 - x^(n+i)) / (1 - x^i).
    """
    ways = [1] + [0] * (m * n)
    for i in range(1, m + 1):
        for u in range(m * n, n + i - 1, -1):
            ways[u] -= ways[u - n - i]
        for u in range(i, m * n + 1):
            ways[u] += ways[u - i]
    return ways


def _kendall_p_value(n: int, score: int) -> float:
    """P(|S| >= score) for n samples in random order, S being ordered less reversed pairs."""
    pairs = n * (n - 1) // 2
    if n > _EXACT_TREND:
        spread = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
        return math.erfc(max(0, score - 1) / spread / math.sqrt(2))
    ways = _inversion_ways(n)
    reversed_pairs = (pairs - score) // 2
    return min(1.0, 2 * sum(ways[: reversed_pairs + 1]) / math.factorial(n))


def _inversion_ways(n: int) -> list[int]:
    """How many orders of n samples have 0, 1, … reversed pairs (Mahonian numbers)."""
    ways = [1]
    for size in range(2, n + 1):
        # The new sample may be put before any number of the others: a running sum of that width.
        sums = [0, *accumulate([*ways, *[0] * (size - 1)])]
        ways = [sums[i + 1] - sums[max(0, i + 1 - size)] for i in range(len(sums) - 1)]
    return ways
