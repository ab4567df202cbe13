"""A condition on a figure, as ``--fail-if`` takes it: ``pass_rate < 0.9``, ``ttft_seconds > 5%``.

What a condition looks like, what its units mean and how it is refused is the same for all commands
and stands here; what it is held against (a rate, a difference, an interval) each command decides.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence

import msgspec

from localprompt.errors import InputError, UnknownNameError
from localprompt.units import parse_bytes

WHERE = "--fail-if"
_LONGEST = 500
_CONDITION = re.compile(
    r"\s*(.+?)\s*(>=|<=|>|<)\s*([+-]?\d+(?:\.\d+)?)\s*([^\d\s.].*?)?\s*", re.ASCII
)
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Condition(msgspec.Struct, frozen=True):
    """One condition on one figure."""

    text: str
    """As it was typed."""
    figure: str
    operator: str
    """One of ``<``, ``<=``, ``>``, ``>=``."""
    number: str
    """With its sign, as it was typed."""
    unit: str | None
    """As ``%``, ``ms`` or ``MiB``."""

    @property
    def above(self) -> bool:
        """Whether it is met by what is larger than the limit."""
        return self.operator.startswith(">")

    @property
    def relative(self) -> bool:
        return self.unit == "%"

    @property
    def share(self) -> float:
        """The limit, where it is a share or a plain number: ``5%`` is 0.05.

        Raises:
            InputError: it has a unit.
        """
        if self.unit not in (None, "%"):
            raise self._wrong_unit("a number, or a share as 5%")
        return float(self.number) / (100 if self.relative else 1)

    @property
    def amount(self) -> float:
        """The limit as a difference in the unit of its figure, which the figure's name ends in.

        Raises:
            InputError: the unit is missing, or not one of this figure.
        """
        factor: float | None = None
        if self.figure.endswith("_seconds"):
            factor = _SECONDS.get(self.unit or "")
        elif self.figure.endswith("_bytes"):
            sign = -1.0 if self.number.startswith("-") else 1.0
            try:
                return sign * parse_bytes(self.number.lstrip("+-") + (self.unit or ""))
            except ValueError:
                pass
        elif self.unit in (None, "tok/s"):
            factor = 1.0
        if factor is None:
            raise self._wrong_unit("%, s, ms, MiB or tok/s")
        return float(self.number) * factor

    def met_by(self, value: float) -> bool:
        """Whether a value is beyond the limit; see :attr:`share`."""
        return _COMPARE[self.operator](value, self.share)

    def check_figure(self, known: Sequence[str]) -> None:
        """
        Raises:
            UnknownNameError: there is no such figure; with the nearest names.
        """
        if self.figure in known:
            return
        from difflib import get_close_matches

        near = tuple(get_close_matches(self.figure, known, n=3, cutoff=0.4)) or tuple(known)
        raise UnknownNameError(f"there is no figure {self.figure!r}", nearest=near, where=WHERE)

    def _wrong_unit(self, expected: str) -> InputError:
        return InputError(
            "a difference needs the unit of its figure",
            where=WHERE,
            expected=expected,
            found=repr(self.text),
        )


def parse_condition(text: str) -> Condition:
    """``ttft_seconds > 5%``, ``pass_rate < 0.9``, ``tone of voice <= 0.5`` for a metric of a suite.

    Raises:
        InputError: it is not a condition.
    """
    match = _CONDITION.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise InputError(
            "not a condition",
            where=WHERE,
            expected="FIGURE < LIMIT, as 'pass_rate < 0.9', 'ttft_seconds > 5%' or "
            "'peak_rss_bytes > 20MiB'",
            found=repr(text),
        )
    figure, sign, number, unit = match.groups()
    return Condition(text.strip(), figure, sign, number, unit)
