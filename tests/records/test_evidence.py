"""A verdict is what the rule makes of the figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.records.evidence import Condition, Figure, Rule, Verdict
from localprompt.stats.samples import Interval

RULE = Rule(
    supported=(Condition("gain", "low", ">", 0),), refuted=(Condition("gain", "high", "<", 0),)
)


def gain(low: float, high: float) -> Figure:
    return Figure("gain", (low + high) / 2, "points", "measured", Interval(low, high), 10)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.2, "supported"),
        (-0.2, -0.1, "not supported"),
        (-0.1, 0.1, "not shown"),
        (0.0, 0.1, "not shown"),
    ],
)
def test_the_interval_decides_and_not_the_middle(low: float, high: float, verdict: Verdict) -> None:
    assert RULE.verdict((gain(low, high),)) == verdict


def test_a_figure_that_is_missing_shows_nothing() -> None:
    assert RULE.verdict(()) == "not shown"
    assert RULE.verdict((Figure("gain", 1, "points", "measured"),)) == "not shown"


@given(low=st.floats(-1, 1), width=st.floats(0, 1))
def test_no_figure_supports_and_refutes_at_once(low: float, width: float) -> None:
    figures = (gain(low, low + width),)
    supported = all(condition.holds(figures) for condition in RULE.supported)
    refuted = any(condition.holds(figures) for condition in RULE.refuted)
    assert not (supported and refuted)


def test_the_digest_of_a_rule_changes_with_its_bound() -> None:
    other = Rule(supported=(Condition("gain", "low", ">", 0.1),), refuted=RULE.refuted)
    assert other.sha256 != RULE.sha256


def test_all_of_the_supporting_conditions_have_to_hold() -> None:
    both = Rule((*RULE.supported, Condition("files", "value", "=", 0)), RULE.refuted)
    files = Figure("files", 0, "count", "measured")
    assert both.verdict((gain(0.1, 0.2),)) == "not shown"
    assert both.verdict((gain(0.1, 0.2), files)) == "supported"
