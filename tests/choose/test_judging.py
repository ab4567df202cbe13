"""Who is better, faster, cheaper: told by pairs and repetitions, never by single figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localprompt.choose.judging import money
from localprompt.records.choice import Prices
from localprompt.store.history import History
from localprompt.views.choose import sentences
from tests.choose.samples import MIB, choice

HALF = [n % 2 == 0 for n in range(40)]
ALMOST = [*HALF[:-1], True]
ALL = [True] * 40
NONE = [False] * 40


@pytest.fixture
def store(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "history.db") as made:
        yield made


def test_the_smaller_one_is_as_good_as_far_as_the_cases_can_tell(store: History) -> None:
    (said,) = sentences(choice(store, [HALF, ALMOST]))
    assert said.startswith(
        "qwen2.5-coder-0.5b is as good as qwen2.5-coder-1.5b as far as 40 cases can tell, and "
        "2.9× as fast (2.9 to 2.9)"
    )
    assert "cases would show a difference of 2.5 points (estimated)" in said


def test_a_difference_that_the_cases_show_is_said_with_its_interval(store: History) -> None:
    (said,) = sentences(choice(store, [NONE, ALL]))
    assert said.startswith("qwen2.5-coder-1.5b passes 100.0 points (")
    assert said.endswith(
        "more of the cases than qwen2.5-coder-0.5b, and takes 2.9× as long (2.9 to 2.9)"
    )


def test_a_better_and_faster_one_is_said_to_be_both(store: History) -> None:
    (said,) = sentences(choice(store, [ALL, NONE]))
    assert "more of the cases than qwen2.5-coder-1.5b, and is 2.9× as fast" in said


def test_without_enough_repetitions_no_speed_is_claimed(store: History) -> None:
    result = choice(store, [HALF, HALF], seconds=(1.0, 1.0005))
    (said,) = sentences(result)
    assert said.endswith("and no difference in speed is shown")


def test_nobody_is_beaten_by_a_difference_that_is_not_shown(store: History) -> None:
    result = choice(store, [HALF, ALMOST], seconds=(1.0, 1.0), peaks=(700 * MIB, 705 * MIB))
    assert [row.on_front for row in result.rows] == [True, True]


def test_one_that_is_slower_and_larger_and_not_shown_to_be_better_is_behind(store: History) -> None:
    result = choice(store, [HALF, ALMOST, ALL])
    assert [row.on_front for row in result.rows] == [False, False, True]
    assert result.rows[1].beaten_by == (0, 2)


def test_each_on_the_front_has_something_for_it(store: History) -> None:
    result = choice(store, [HALF, ALL, NONE])
    assert [row.on_front for row in result.rows] == [True, True, True]


def test_what_was_not_measured_beats_nobody_and_is_not_beaten_by_it(store: History) -> None:
    result = choice(store, [HALF, HALF], seconds=(1.0, 1.0), peaks=(None, 200 * MIB))
    assert [row.on_front for row in result.rows] == [True, True]


def test_a_thousand_answers_take_what_the_evaluation_took(store: History) -> None:
    row = choice(store, [HALF, ALL]).rows[0]
    assert row.thousand is not None
    assert row.thousand.seconds == pytest.approx(200)
    assert row.thousand.cpu_seconds == pytest.approx(400)
    assert row.thousand.watt_hours is None, "no counter was read, which is not zero"
    assert row.thousand.basis == "estimated"


def test_measured_energy_becomes_watt_hours(store: History) -> None:
    row = choice(store, [HALF, ALL], energy_joules=144.0, prices=Prices(usd_per_kwh=0.25)).rows[0]
    assert row.thousand is not None
    assert row.thousand.watt_hours == pytest.approx(1.0)
    assert row.thousand.usd.typical == pytest.approx(0.00025)
    assert row.thousand.basis == "measured"


def test_nothing_answered_anew_has_no_cost(store: History) -> None:
    assert choice(store, [HALF, ALL], answered=0).rows[0].thousand is None


def test_an_hour_with_a_price_makes_money_of_time() -> None:
    usd, basis = money(Prices(usd_per_hour=3.6), 100, 500, None)
    assert (usd.low, usd.high) == pytest.approx((0.1, 0.1))
    assert basis == "measured"


def test_a_price_of_electricity_does_not_make_assumed_watts_a_measurement() -> None:
    usd, basis = money(Prices(usd_per_kwh=0.2), 100, 500, None)
    assert basis == "estimated"
    assert usd.low < usd.typical < usd.high
