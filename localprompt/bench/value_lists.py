"""Lists and ranges as people type them: ``1,2``, ``1-8``, ``1-9+2``, ``128-1024*2``, ``f16,q8_0``.

The notation of ranges is llama-bench's, so that what people know from there works here. A range
ends with its last value where the steps reach it, and before it where they do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from localprompt.errors import InputError

T = TypeVar("T", int, str, bool)

MOST_VALUES = 1000
"""More values than that are a typing error, not a bench."""

_RANGE = re.compile(r"(\d{1,12})-(\d{1,12})(?:([+*])(\d{1,12}))?", re.ASCII)
_WHOLE = re.compile(r"\d{1,12}", re.ASCII)
_SWITCHES = {"on": True, "off": False, "true": True, "false": False, "1": True, "0": False}
_EXPECTED = "numbers and ranges, as 1,2 or 1-8 or 128-1024*2"


def whole_numbers(text: str, where: str) -> tuple[int, ...]:
    """``1,4-6`` → 1, 4, 5, 6; each once, in the order in which they first appear.

    Raises:
        InputError: not such a list, a number below 1, a range that runs backwards or
            does not advance, or more than 1,000 values.
    """

    def values(part: str) -> Iterator[int]:
        if _WHOLE.fullmatch(part):
            yield int(part)
            return
        match = _RANGE.fullmatch(part)
        if match is None:
            raise InputError("not a number or a range", where=where, expected=_EXPECTED, found=part)
        first, last, how = int(match[1]), int(match[2]), match[3] or "+"
        yield from _steps(first, last, how, int(match[4] or 1), where, part)

    found = _collect(text, where, values)
    if min(found) < 1:
        raise InputError("too small", where=where, expected="1 or more", found=str(min(found)))
    return found


def words(text: str, where: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """``f16,q8_0`` → both.

    Raises:
        InputError: one that is not allowed.
    """

    def values(part: str) -> Iterator[str]:
        if part not in allowed:
            raise InputError(
                "unknown value", where=where, expected=", ".join(allowed), found=part or "nothing"
            )
        yield part

    return _collect(text, where, values)


def switches(text: str, where: str) -> tuple[bool, ...]:
    """``on,off`` → True, False.

    Raises:
        InputError: anything else.
    """

    def values(part: str) -> Iterator[bool]:
        if part.lower() not in _SWITCHES:
            raise InputError("unknown value", where=where, expected="on, off", found=part)
        yield _SWITCHES[part.lower()]

    return _collect(text, where, values)


def _steps(first: int, last: int, how: str, step: int, where: str, part: str) -> Iterator[int]:
    advances = step > 0 if how == "+" else step > 1 and first > 0
    if last < first or not advances:
        raise InputError(
            "this range never ends",
            where=where,
            expected="first-last, first-last+step or first-last*factor, going upwards",
            found=part,
        )
    value = first
    while value <= last:
        yield value
        value = value + step if how == "+" else value * step


def _collect(text: str, where: str, values: Callable[[str], Iterator[T]]) -> tuple[T, ...]:
    """The values of all parts, each once."""
    found: dict[T, None] = {}
    for part in text.split(","):
        for value in values(part.strip()):
            found[value] = None
            if len(found) > MOST_VALUES:
                raise InputError(
                    "too many values", where=where, expected=f"at most {MOST_VALUES}", found=text
                )
    return tuple(found)
