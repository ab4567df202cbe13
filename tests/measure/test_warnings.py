"""Each reason to doubt is found where it is, and nowhere else."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from localprompt.measure.conditions import Conditions
from localprompt.measure.memory import MemoryReading
from localprompt.measure.warnings import condition_warnings, frequency_warnings, sample_warnings
from localprompt.records.run import RunWarning

CALM = Conditions(
    monotonic_seconds=1000.0,
    slept_seconds=50.0,
    busy_seconds=400.0,
    stolen_seconds=1.0,
    own_seconds=3.0,
    throttle_count=7,
    quota_wait_seconds=0.5,
    frequency_hertz=3e9,
    swap_traffic_bytes=4096,
    governor="performance",
    on_battery=False,
)
ALWAYS_THERE = {"monotonic_seconds", "own_seconds"}
STEADY = [1.00, 1.01, 0.99, 1.02, 0.98, 1.00, 1.01, 0.99]


def codes(warnings: tuple[RunWarning, ...]) -> list[str]:
    return [warning.code for warning in warnings]


def later(**changes: Any) -> Conditions:
    """Ten seconds on, in which this process computed on two cores."""
    after = msgspec.structs.replace(
        CALM, monotonic_seconds=1010.0, busy_seconds=420.3, own_seconds=23.0
    )
    return msgspec.structs.replace(after, **changes)


def test_steady_samples_give_no_reason_to_doubt() -> None:
    assert sample_warnings(STEADY, "TTFT") == ()


def test_a_slow_first_run_is_said_once_and_not_again_as_outlier_or_drift() -> None:
    found = sample_warnings([3.0, *STEADY], "TTFT")
    assert codes(found) == ["slow_first_run"]
    assert found[0].message == "TTFT: the first run took 3.00 times the median of the others"
    assert "warm-up" in found[0].advice


def test_a_slow_run_in_the_middle_is_an_outlier() -> None:
    found = sample_warnings([*STEADY[:4], 3.0, *STEADY[4:]], "decode")
    assert codes(found) == ["outliers"]
    assert "1 of 9 samples" in found[0].message


def test_one_outlier_does_not_make_samples_noisy() -> None:
    assert "noisy" not in codes(sample_warnings([*STEADY, 100.0], "decode"))


def test_samples_that_vary_widely_are_noisy() -> None:
    found = sample_warnings([1.0, 1.3, 0.8, 1.2, 0.7, 1.1], "prefill")
    assert codes(found) == ["noisy"]
    assert "vary by 28% of their median" in found[0].message


def test_samples_that_climb_drift() -> None:
    found = sample_warnings([1.0 + 0.01 * i for i in range(12)], "decode")
    assert codes(found) == ["drift"]
    assert "+10%" in found[0].message


def test_a_climb_too_small_to_matter_is_no_drift() -> None:
    assert sample_warnings([1.0 + 0.001 * i for i in range(12)], "decode") == ()


def test_a_tiny_deviation_among_nearly_equal_samples_is_no_outlier() -> None:
    assert sample_warnings([1.0, 1.0, 1.0, 1.02, 1.0, 1.0], "decode") == ()


@pytest.mark.parametrize("samples", [[], [1.0], [1.0, 9.0, 1.0, 1.0], [0.0] * 8])
def test_too_little_to_judge_is_not_judged(samples: list[float]) -> None:
    assert sample_warnings(samples, "TTFT") == ()


def test_independent_samples_of_an_idle_machine_hardly_ever_warn() -> None:
    source = random.Random(6)
    benches = [[source.lognormvariate(0, 0.01) for _ in range(10)] for _ in range(500)]
    assert sum(bool(sample_warnings(bench, "TTFT")) for bench in benches) <= 2


def test_undisturbed_work_gives_no_warning() -> None:
    assert condition_warnings(CALM, later()) == ()


@pytest.mark.parametrize(
    ("change", "code", "figure"),
    [
        ({"throttle_count": 8}, "throttled", "heat"),
        ({"on_battery": True}, "on_battery", "battery"),
        ({"busy_seconds": 430.0}, "other_load", "1.0 cores"),
        ({"stolen_seconds": 3.0}, "stolen_time", "2.00 s"),
        ({"quota_wait_seconds": 2.0}, "cpu_quota", "1.50 s"),
        ({"swap_traffic_bytes": 4096 + 8192}, "swap", "8.00 KiB"),
        ({"slept_seconds": 110.0}, "clock_gap", "1 min 00 s"),
    ],
)
def test_each_disturbance_is_named_with_its_size(
    change: dict[str, Any], code: str, figure: str
) -> None:
    found = condition_warnings(CALM, later(**change))
    assert codes(found) == [code]
    assert figure in found[0].message
    assert found[0].advice


def test_what_cannot_be_read_gives_no_warning() -> None:
    counters = [name for name in Conditions.__struct_fields__ if name not in ALWAYS_THERE]
    blind = dict.fromkeys(counters)
    assert condition_warnings(msgspec.structs.replace(CALM, **blind), later(**blind)) == ()


def test_a_short_run_is_not_blamed_for_one_tick_of_the_kernels_clock() -> None:
    after = msgspec.structs.replace(
        CALM, monotonic_seconds=1000.05, busy_seconds=400.12, own_seconds=3.1
    )
    assert condition_warnings(CALM, after) == ()


def test_two_readings_at_one_instant_say_nothing_about_others() -> None:
    at_once = later(monotonic_seconds=CALM.monotonic_seconds, busy_seconds=430.0)
    assert condition_warnings(CALM, at_once) == ()
    stolen = msgspec.structs.replace(CALM, stolen_seconds=3.0)
    assert condition_warnings(CALM, stolen) == ()


def test_own_memory_in_swap_is_named_first() -> None:
    swapped = MemoryReading(rss_bytes=1, peak_rss_bytes=1, swapped_bytes=3 << 20)
    found = condition_warnings(CALM, later(swap_traffic_bytes=999_999), swapped)
    assert codes(found) == ["swap"]
    assert "3.00 MiB of this process" in found[0].message


def test_frequencies_that_differ_are_told_in_gigahertz() -> None:
    found = frequency_warnings([3.0e9, None, 2.0e9, 2.9e9])
    assert codes(found) == ["frequency_change"]
    assert "2.00 to 3.00 GHz" in found[0].message
    assert frequency_warnings([3.0e9, 2.9e9]) == ()
    assert frequency_warnings([None, 3.0e9]) == ()
