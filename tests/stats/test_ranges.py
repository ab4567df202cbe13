"""Estimates with two ends: what becomes of the ends."""

from __future__ import annotations

import pytest

from localprompt.stats.ranges import ZERO, Range


def test_a_range_around_a_value_takes_fractions_of_it() -> None:
    found = Range.around(200.0, below=0.25, above=0.5)
    assert (found.low, found.typical, found.high) == (150.0, 200.0, 300.0)


def test_sums_and_multiples_go_end_by_end() -> None:
    assert Range(1.0, 2.0, 4.0) + Range(10.0, 20.0, 30.0) == Range(11.0, 22.0, 34.0)
    assert Range(1.0, 2.0, 4.0) * 3 == Range(3.0, 6.0, 12.0)
    assert ZERO + Range(1.0, 2.0, 4.0) == Range(1.0, 2.0, 4.0)


def test_a_range_holds_its_ends_and_nothing_beyond() -> None:
    held = Range(1.0, 2.0, 4.0)
    assert [value in held for value in (0.999, 1.0, 3.0, 4.0, 4.001)] == [
        False,
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("held", "width"), [(Range(1.0, 2.0, 4.0), 1.0), (Range(0.5, 2.0, 2.5), 0.75)]
)
def test_the_wider_side_tells_how_sure_an_estimate_is(held: Range, width: float) -> None:
    assert held.half_width == width
