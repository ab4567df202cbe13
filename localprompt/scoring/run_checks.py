"""Checks that look at how the answer came about: time, end and probabilities."""

from __future__ import annotations

import math

from localprompt.records.score import Answer, Expectation
from localprompt.scoring.expectations import CannotScoreError
from localprompt.scoring.text_checks import text_value
from localprompt.scoring.verdict import Verdict


def finish_reason(answer: Answer, expected: Expectation) -> Verdict:
    if answer.finish_reason is None:
        raise CannotScoreError("the run's finish reason is unknown")
    value = text_value(expected)
    met = answer.finish_reason.lower() == value.lower()
    return Verdict(met, f"finish reason {answer.finish_reason}, expected {value}")


def latency(answer: Answer, expected: Expectation) -> Verdict:
    """At most ``threshold`` milliseconds."""
    if answer.latency_seconds is None:
        raise CannotScoreError("the latency is unknown, as for a cached answer")
    if expected.threshold is None:
        raise CannotScoreError("latency has no threshold")
    milliseconds = answer.latency_seconds * 1000
    met = milliseconds <= expected.threshold
    return Verdict(met, f"latency {milliseconds:.0f} ms, threshold {expected.threshold:g} ms")


def perplexity(answer: Answer, expected: Expectation) -> Verdict:
    """exp(−mean log-probability) at most ``threshold``; without one it always passes."""
    value = _perplexity(answer)
    if expected.threshold is None:
        return Verdict(True, f"perplexity {value:.3g}")
    met = value <= expected.threshold
    return Verdict(met, f"perplexity {value:.3g}, threshold {expected.threshold:g}")


def perplexity_score(answer: Answer, expected: Expectation) -> Verdict:
    """1 / (1 + perplexity), at least ``threshold``; without one it always passes."""
    value = 1 / (1 + _perplexity(answer))
    if expected.threshold is None:
        return Verdict(True, f"perplexity score {value:.3f}", value)
    met = value >= expected.threshold
    return Verdict(met, f"perplexity score {value:.3f}, threshold {expected.threshold:g}", value)


def _perplexity(answer: Answer) -> float:
    if not answer.logprobs:
        raise CannotScoreError("the tokens' probabilities were not recorded")
    try:
        return math.exp(-math.fsum(answer.logprobs) / len(answer.logprobs))
    except OverflowError:
        return math.inf
