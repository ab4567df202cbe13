"""Energy by the processor's counters, and nothing where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.measure.energy import Meter, usd_of
from localprompt.stats.ranges import Range
from tests.measure.machines import kernel_of

_AT = "sys/class/powercap"


def _counters(**microjoules: int) -> dict[str, str]:
    names = {"package": ("intel-rapl:0", "package-0"), "dram": ("intel-rapl:0:1", "dram"),
             "core": ("intel-rapl:0:0", "core"), "psys": ("intel-rapl:1", "psys"),
             "mmio": ("intel-rapl-mmio:0", "package-0")}  # fmt: skip
    files = {}
    for kind, value in microjoules.items():
        zone, name = names[kind]
        files[f"{_AT}/{zone}/name"] = f"{name}\n"
        files[f"{_AT}/{zone}/energy_uj"] = f"{value}\n"
        files[f"{_AT}/{zone}/max_energy_range_uj"] = "1000000000\n"
    return files


def _now(folder: Path, **microjoules: int) -> None:
    for path, text in _counters(**microjoules).items():
        (folder / path).write_text(text)


def test_packages_and_memory_count_and_nothing_counts_twice(tmp_path: Path) -> None:
    before = _counters(package=0, dram=10, core=20, psys=30, mmio=0)
    meter = Meter(kernel_of(tmp_path, before))
    _now(
        tmp_path, package=5_000_000, dram=1_000_010, core=9_000_000, psys=9_000_000, mmio=5_000_000
    )
    assert meter.read() == pytest.approx(6.0)


def test_a_counter_that_begins_anew_goes_on_counting(tmp_path: Path) -> None:
    meter = Meter(kernel_of(tmp_path, _counters(package=999_000_000)))
    _now(tmp_path, package=1_000_000)
    assert meter.read() == pytest.approx(2.0)
    _now(tmp_path, package=4_000_000)
    assert meter.read() == pytest.approx(5.0)


def test_without_counters_there_is_no_energy_and_not_zero(tmp_path: Path) -> None:
    assert Meter(kernel_of(tmp_path, {})).read() is None


def test_counters_that_may_not_be_read_are_unknown(tmp_path: Path) -> None:
    files = _counters(package=1)
    files[f"{_AT}/intel-rapl:0/energy_uj"] = "Permission denied"
    assert Meter(kernel_of(tmp_path, files)).read() is None


def test_a_counter_that_goes_away_makes_the_sum_unknown(tmp_path: Path) -> None:
    meter = Meter(kernel_of(tmp_path, _counters(package=1)))
    (tmp_path / _AT / "intel-rapl:0" / "energy_uj").unlink()
    assert meter.read() is None


def test_money_is_a_range_of_watts_and_prices() -> None:
    found = usd_of(3600, Range(0.1, 0.1, 0.1))
    assert (found.low, found.typical, found.high) == pytest.approx((0.0003, 0.0008, 0.002))
