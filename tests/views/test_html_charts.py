from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from localprompt.stats.samples import summarize
from localprompt.views.charts import interval_bars, nice_ticks, panel, scale, stack
from tests.views.bench_records import MIB, samples

SIZES = st.floats(min_value=1e-6, max_value=1e12)


@given(low=st.floats(min_value=-1e6, max_value=1e6), width=SIZES)
def test_ticks_are_few_round_and_inside(low: float, width: float) -> None:
    ticks = nice_ticks(low, low + width)
    if width < 1e-6 * abs(low):
        return  # beyond what a double can tell apart
    assert 1 <= len(ticks) <= 6
    slack = 1e-6 * (width + abs(low))
    assert all(low - slack <= tick <= low + width + slack for tick in ticks)
    if len(ticks) > 1:
        step = ticks[1] - ticks[0]
        leading = step / 10 ** math.floor(math.log10(step) + 1e-9)
        assert min(abs(leading - nice) for nice in (1, 2, 5)) < 1e-3


def test_ticks_of_a_scale_without_extent_are_its_only_value() -> None:
    assert nice_ticks(3.0, 3.0) == (3.0,)


def test_ticks_are_round_in_the_unit_that_is_shown() -> None:
    axis = scale(0.0, 0.218, "seconds")
    assert [tick.label for tick in axis.ticks] == ["0", "100", "200"]
    assert axis.unit == "ms"
    memory = scale(0.0, 452 * MIB, "bytes")
    assert [tick.label for tick in memory.ticks] == ["0", "200", "400"]
    assert memory.unit == "MiB"


def test_positions_are_shares_of_the_plot_and_never_outside() -> None:
    axis = scale(0.0, 200.0, None)
    assert [axis.position(value) for value in (-1.0, 0.0, 50.0, 200.0, 500.0)] == [
        0.0,
        0.0,
        25.0,
        100.0,
        100.0,
    ]


def test_a_bar_begins_at_zero_and_its_whisker_spans_the_interval() -> None:
    summary = summarize(samples(0.1))
    assert summary.interval is not None
    (bar,), axis = interval_bars("ttft_seconds", [("m", summary)])
    assert (bar.parts[0].start, axis.low) == (0.0, 0.0)
    assert bar.interval == (axis.position(summary.interval.low), 100.0)
    assert bar.parts[0].width == axis.position(summary.median)
    assert bar.text == "100 ± 0.4 ms"


def test_a_bar_without_an_interval_has_no_whisker() -> None:
    (bar,), _ = interval_bars("ttft_seconds", [("m", summarize([0.1, 0.2]))])
    assert bar.interval is None
    assert "n<6" in bar.text


@given(st.lists(st.integers(min_value=0, max_value=10**9), min_size=1, max_size=4))
def test_stacked_parts_touch_and_add_up(sizes: list[int]) -> None:
    total = sum(sizes)
    parts = stack(scale(0.0, float(total), "bytes"), sizes)
    for part, following in pairwise(parts):
        assert math.isclose(part.start + part.width, following.start, abs_tol=0.011)
    if total:
        assert math.isclose(parts[-1].start + parts[-1].width, 100.0, abs_tol=0.011)
    assert [part.series for part in parts] == sorted({part.series for part in parts})


def test_a_panel_draws_values_from_left_to_right_and_upwards() -> None:
    drawn = panel("m", "text", [1.0, 2.0, 4.0], scale(0.0, 4.0, None), band=(1.0, 2.0))
    xs, ys = zip(*drawn.points, strict=True)
    assert list(xs) == sorted(xs)
    assert ys == (75.0, 50.0, 0.0)
    assert drawn.band == (50.0, 75.0)
    assert [tick.label for tick in drawn.x_ticks] == ["1", "2", "3"]
    assert drawn.x_ticks[0].position == xs[0]


def test_a_panel_of_one_value_stays_inside() -> None:
    drawn = panel("m", "text", [1.0], scale(0.0, 4.0, None))
    assert 0 <= drawn.points[0][0] <= 100
