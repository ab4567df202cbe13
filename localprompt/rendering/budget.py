"""How much a template may do before it is stopped.

Jinja2's sandbox keeps a template from reaching Python, not from running forever: nested loops,
macros that call themselves twice, ``"x" * 10**10``, a list that contains itself in pairs forty
levels deep. One number covers them all. Every step and every character that a template handles is
paid for out of a :class:`Budget`, *before* the work is done, so neither time nor memory can run
away. The size of an operation's result is estimated from its operands; an estimate may be too
high, never much too low. A clock is the second net, for what is slow rather than large.

Counting is chosen over a memory limit of the operating system (RLIMIT_AS) because that limit would
also hit the threads of an engine in the same process, and because a count gives the same answer
on every machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence, Set, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

STEP = 100
"""The price of a loop's round, a call or a filter, in units; a character costs 1."""


class Limits(msgspec.Struct, frozen=True):
    """What one rendering may cost."""

    units: int = 20_000_000
    """Twenty million characters, or two hundred thousand steps."""
    seconds: float = 10.0


class BudgetExceededError(Exception):
    """The template was stopped; the message says by which limit."""


class Budget:
    """What is left of the limits while a template runs."""

    def __init__(self, limits: Limits) -> None:
        self.left = limits.units
        self._limits = limits
        self._deadline = time.monotonic() + limits.seconds

    def spend(self, units: int) -> None:
        """Pay before doing.

        Raises:
            BudgetExceededError: there is not enough left, or time is up.
        """
        self.left -= units
        if self.left < 0:
            raise BudgetExceededError(f"more than {self._limits.units:,} characters or steps")
        if time.monotonic() > self._deadline:
            raise BudgetExceededError(f"more than {self._limits.seconds:g} s")


_current: ContextVar[Budget] = ContextVar("budget")


@contextmanager
def spending(limits: Limits) -> Iterator[Budget]:
    """Give what runs inside a fresh budget."""
    budget = Budget(limits)
    token = _current.set(budget)
    try:
        yield budget
    finally:
        _current.reset(token)


def current() -> Budget:
    """The budget of the template that is running in this thread."""
    return _current.get()


def printed_size(value: Any) -> int:
    """About how many characters ``str(value)`` has; stops counting beyond what is left.

    Shared parts count each time that they are printed, so a small object that prints without end
    is found out here, in as many steps as the budget has left at most.
    """
    limit = current().left
    size = 0
    stack = [iter((value,))]
    while stack and size <= limit:
        for item in stack[-1]:
            size += _own_size(item)
            inside = _contents(item)
            if inside is not None:
                stack.append(inside)
                break
        else:
            stack.pop()
    return size


def size_of(value: Any, limits: Limits) -> int:
    """As :func:`printed_size`, with a budget of its own: for those who ask after it was spent."""
    with spending(limits):
        return printed_size(value)


def _own_size(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value) + 1
    if isinstance(value, int):
        return value.bit_length() // 3 + 4
    return 20


def _contents(value: Any) -> Iterator[Any] | None:
    from jinja2.utils import Namespace

    if isinstance(value, str | bytes | range):
        return None
    if isinstance(value, Mapping):
        return (part for pair in value.items() for part in pair)
    if isinstance(value, Sequence | Set | ValuesView):
        return iter(value)
    if isinstance(value, Namespace):
        attributes: dict[str, Any] = value._Namespace__attrs
        return iter(attributes.values())
    return None
