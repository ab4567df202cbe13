from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from localprompt.models.quality.likelihood import Tally, divergences, losses, perplexity_of

LOGITS = arrays(
    np.float32,
    (11, 7),
    elements=st.floats(-30, 30, width=32, allow_nan=False, allow_infinity=False),
)


@given(LOGITS)
def test_the_losses_of_all_targets_are_those_of_a_distribution(logits: np.ndarray) -> None:
    by_target = np.stack([losses(logits, [target] * 11) for target in range(7)], axis=1)
    assert np.exp(-by_target).sum(axis=1) == pytest.approx(np.ones(11), rel=1e-5)


@given(LOGITS, LOGITS)
def test_a_divergence_is_never_negative(parent: np.ndarray, model: np.ndarray) -> None:
    found, agreed = divergences(parent, model)
    assert (found >= 0).all()
    assert 0 <= agreed <= 11


@given(LOGITS, st.floats(-50, 50, width=32))
def test_adding_a_constant_to_all_logits_changes_nothing(
    logits: np.ndarray, constant: float
) -> None:
    shifted = (logits + np.float32(constant)).astype(np.float32)
    found, _ = divergences(logits, shifted)
    assert found == pytest.approx(np.zeros(11), abs=1e-3)
    assert losses(shifted, [3] * 11) == pytest.approx(losses(logits, [3] * 11), abs=1e-3)


def test_the_standard_error_is_that_of_a_mean() -> None:
    values = np.array([1.0, 2.0, 4.0, 8.0])
    tally = Tally()
    tally.add(values[:1])
    tally.add(values[1:])
    mean = tally.mean()
    assert mean.value == pytest.approx(3.75)
    assert mean.standard_error == pytest.approx(values.std(ddof=1) / 2)


def test_the_interval_of_a_perplexity_is_of_its_logarithm() -> None:
    tally = Tally()
    tally.add(np.array([1.0, 2.0, 3.0]))
    found = perplexity_of(tally)
    assert found.value == pytest.approx(math.exp(2))
    assert found.interval is not None
    assert math.sqrt(found.interval.low * found.interval.high) == pytest.approx(found.value)


def test_one_token_has_no_standard_error() -> None:
    tally = Tally()
    tally.add(np.array([1.0]))
    assert perplexity_of(tally).standard_error is None
    assert perplexity_of(tally).interval is None
