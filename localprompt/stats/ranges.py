"""A quantity that is estimated, never known to the digit: low, typical, high."""

from __future__ import annotations

import msgspec


class Range(msgspec.Struct, frozen=True):
    """Three values of one quantity, in the unit that the field's name says; low ≤ typical ≤ high.

    Sums add end by end: the parts of an estimate rest on the same assumptions, so their errors
    are taken to go the same way instead of cancelling.
    """

    low: float
    typical: float
    high: float

    @classmethod
    def around(cls, typical: float, below: float, above: float) -> Range:
        """``below`` and ``above`` are fractions: 0.1 is ten percent."""
        return cls(typical * (1 - below), typical, typical * (1 + above))

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.typical + other.typical, self.high + other.high)

    def __mul__(self, factor: float) -> Range:
        return Range(self.low * factor, self.typical * factor, self.high * factor)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def half_width(self) -> float:
        """The wider side of the range as a fraction of the typical value."""
        return max(self.high - self.typical, self.typical - self.low) / self.typical


ZERO = Range(0.0, 0.0, 0.0)
