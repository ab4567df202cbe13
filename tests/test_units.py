"""Figures as people read and type them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.units import (
    GIB,
    KIB,
    MIB,
    UNKNOWN,
    format_bytes,
    format_count,
    format_range,
    format_rate,
    format_seconds,
    format_with_margin,
    parse_bytes,
    parse_list,
    unit_for,
)


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (KIB, "1.00 KiB"),
        (262_144, "256 KiB"),
        (98_362_432, "93.8 MiB"),
        (3 * GIB, "3.00 GiB"),
        (5 * 1024**4, "5.00 TiB"),
        (-MIB, "-1.00 MiB"),
        (None, UNKNOWN),
    ],
)
def test_bytes_are_binary_with_three_digits(n: int | None, text: str) -> None:
    assert format_bytes(n) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (2.5e-6, "2.50 µs"),
        (0.0123, "12.3 ms"),
        (1.5, "1.50 s"),
        (59.94, "59.9 s"),
        (75.2, "1 min 15 s"),
        (3599.7, "1 h 00 min"),
        (7265, "2 h 01 min"),
        (-0.004, "-4.00 ms"),
        (None, UNKNOWN),
    ],
)
def test_seconds_are_in_the_unit_that_reads_best(seconds: float | None, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(156.83, "157 tok/s"), (9.876, "9.88 tok/s"), (-3, "-3.00 tok/s"), (None, UNKNOWN)],
)
def test_rates_carry_their_unit(rate: float | None, text: str) -> None:
    assert format_rate(rate) == text


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (134_515_008, "135 M"),
        (7_241_732_096, "7.24 B"),
        (999, "999"),
        (2048, "2.05 k"),
        (None, "–"),
    ],
)
def test_counts_are_short(n: float, text: str) -> None:
    assert format_count(n) == text


@pytest.mark.parametrize(
    ("value", "margin", "text"),
    [
        (0.0924, 0.0004, "92.4 ± 0.4 ms"),
        (0.0924, 0.00004, "92.4 ± 0.04 ms"),
        (0.0924, None, "92.4 ms"),
        (0.0924, 0.0, "92.4 ± 0.0 ms"),
        (1.5, 0.25, "1.50 ± 0.25 s"),
    ],
)
def test_a_margin_is_in_the_unit_of_its_value(
    value: float, margin: float | None, text: str
) -> None:
    assert format_with_margin(value, margin, "seconds") == text


def test_a_range_is_in_the_unit_of_its_larger_end() -> None:
    assert format_range(-0.0123, 0.0041, "seconds") == "-12.3 to 4.10 ms"
    assert format_range(10 * MIB, 2 * GIB, "bytes") == "0.010 to 2.00 GiB"


def test_an_axis_has_one_unit() -> None:
    assert unit_for(0.09, "seconds") == ("ms", 1e-3)
    assert unit_for(3 * MIB, "bytes") == ("MiB", MIB)
    assert unit_for(1500, "per_second") == ("tok/s", 1.0)


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("1073741824", GIB),
        ("2GiB", 2 * GIB),
        ("512m", 512 * MIB),
        ("1.5 GB", 1_500_000_000),
        (" 4 kib ", 4096),
        ("10kB", 10_000),
        ("7 b", 7),
    ],
)
def test_sizes_can_be_typed_as_people_write_them(text: str, n: int) -> None:
    assert parse_bytes(text) == n


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5.2", "2 PiB", "GiB", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"not a size: {re.escape(repr(text))}"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a, b,c", ("a", "b", "c")),
        ("one", ("one",)),
        ("", ()),
        (" , ,", ()),
        ("a b,c", ("a b", "c")),
    ],
)
def test_a_list_is_what_stands_between_its_commas(text: str, parts: tuple[str, ...]) -> None:
    assert parse_list(text) == parts


@given(st.integers(0, 10**15))
def test_a_printed_size_can_be_typed_again(n: int) -> None:
    assert parse_bytes(format_bytes(n)) == pytest.approx(n, rel=0.006, abs=0.5)


@given(st.floats(1e-9, 1e7))
def test_a_printed_duration_is_short_and_has_no_exponent(seconds: float) -> None:
    text = format_seconds(seconds)
    assert re.fullmatch(r"[\d.]+ (µs|ms|s)|\d+ min \d\d s|\d+ h \d\d min", text)
    assert len(text) <= 13
