"""Bytes, seconds, rates and lists: parsing what people type and printing what people read.

Everywhere else in the package a quantity is a plain number whose unit stands in its name
(``_bytes``, ``_seconds``, ``_per_second``); unknown is ``None``, never 0. Only this module
turns such numbers into text, so that one figure looks the same in every view.
"""

from __future__ import annotations

import math
import re
from typing import Literal

KIB = 1024
MIB = 1024**2
GIB = 1024**3

UNKNOWN = "–"

Quantity = Literal["seconds", "bytes", "per_second"]

_BINARY = (("TiB", 1024**4), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB))
_DECIMAL_SECONDS = (("s", 1.0), ("ms", 1e-3))
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)(b?)\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def format_bytes(n: float | None) -> str:
    """``262144`` → ``256 KiB``; three significant digits, binary units."""
    if n is None:
        return UNKNOWN
    sign, size = ("-", -n) if n < 0 else ("", n)
    for unit, factor in _BINARY:
        if size >= factor:
            return f"{sign}{_significant(size / factor)} {unit}"
    return f"{sign}{size:.0f} B"


def format_seconds(seconds: float | None) -> str:
    """``0.0123`` → ``12.3 ms``; ``75.2`` → ``1 min 15 s``."""
    if seconds is None:
        return UNKNOWN
    sign, size = ("-", -seconds) if seconds < 0 else ("", seconds)
    if size == 0:
        return "0 s"
    if size < 1e-3:
        return f"{sign}{_significant(size * 1e6)} µs"
    if size < 1:
        return f"{sign}{_significant(size * 1e3)} ms"
    if size < 60:
        return f"{sign}{_significant(size)} s"
    whole = round(size)
    if whole < 3600:
        return f"{sign}{whole // 60} min {whole % 60:02d} s"
    return f"{sign}{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_rate(per_second: float | None, unit: str = "tok/s") -> str:
    """``156.83`` → ``157 tok/s``."""
    return UNKNOWN if per_second is None else f"{_signed(per_second)} {unit}"


def format_count(n: float | None) -> str:
    """``134515008`` → ``135 M``; for parameters and tokens."""
    if n is None:
        return UNKNOWN
    for unit, factor in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= factor:
            return f"{_significant(n / factor)} {unit}"
    return f"{n:g}"


def unit_for(largest: float, quantity: Quantity) -> tuple[str, float]:
    """The unit in which a whole axis or column is written, and its size.

    ``0.09`` seconds → ``("ms", 0.001)``; rates are in tok/s throughout.
    """
    if quantity == "per_second":
        return "tok/s", 1.0
    sizes = _BINARY if quantity == "bytes" else _DECIMAL_SECONDS
    smallest = ("B", 1.0) if quantity == "bytes" else ("µs", 1e-6)
    return next(((unit, size) for unit, size in sizes if abs(largest) >= size), smallest)


def format_with_margin(value: float, margin: float | None, quantity: Quantity) -> str:
    """``92.4 ± 0.4 ms``: both in the value's unit; without a margin, ``92.4 ms``.

    The margin has as many decimals as the value, or as many as its first digit needs.
    """
    unit, size = unit_for(value, quantity)
    number = _significant(value / size)
    if margin is None:
        return f"{number} {unit}"
    decimals = len(number.partition(".")[2])
    if margin > 0:
        decimals = max(decimals, -math.floor(math.log10(margin / size)))
    return f"{number} ± {margin / size:.{min(decimals, 6)}f} {unit}"


def format_range(low: float, high: float, quantity: Quantity) -> str:
    """``-12.3 to 4.10 ms``: both in the unit of the larger."""
    unit, size = unit_for(max(abs(low), abs(high)), quantity)
    return f"{_signed(low / size)} to {_signed(high / size)} {unit}"


def format_figure(value: float) -> str:
    """``12.345`` → ``12.3``; three significant digits, where the column's head has the unit."""
    return _signed(value)


def parse_bytes(text: str) -> int:
    """``2GiB``, ``512m``, ``1.5 GB`` or ``1073741824`` → bytes.

    ``KiB``, ``MiB``, … and bare ``k``, ``m``, ``g``, ``t`` are powers of 1024;
    ``kB``, ``MB``, … are powers of 1000, as SI has them.

    Raises:
        ValueError: the text is not a size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"not a size: {text!r} (expected e.g. 2GiB, 512MiB or 1.5GB)")
    number, prefix, binary, byte = match.groups()
    base = 1000 if byte and not binary and prefix else 1024
    return round(float(number) * float(base ** _POWERS[prefix.lower()]))


def parse_list(text: str) -> tuple[str, ...]:
    """``a, b,`` → ``("a", "b")``: the parts between commas, without blanks and empty ones."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _signed(value: float) -> str:
    return f"-{_significant(-value)}" if value < 0 else _significant(value)


def _significant(value: float) -> str:
    """Three significant digits without an exponent: 0.123, 1.23, 12.3, 123, 1234."""
    if value >= 99.95:
        return f"{value:.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    if value >= 0.9995:
        return f"{value:.2f}"
    return f"{value:.3f}"
