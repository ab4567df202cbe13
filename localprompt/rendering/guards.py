"""What operations on untrusted operands would cost, before they are done.

Most filters and string methods return about as much as they are given. The few whose result is
set by a number or by a product (``center(10**9)``, ``join``, ``replace``, ``"%*d"``) are listed
here with an estimate of their result in characters. A few filters are left out of the sandbox
altogether: ``urlize`` and ``striptags`` take quadratic time on hostile text and are of no use in a
prompt; so is the global ``lipsum``.

Each estimate takes the operation's arguments, the value first, and returns units for
:class:`~localprompt.rendering.budget.Budget`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jinja2.filters import FILTERS, do_join
from jinja2.utils import pass_eval_context

from localprompt.rendering.budget import STEP, BudgetExceededError, current, printed_size
from localprompt.rendering.traced import TracedText, spans_of

Estimate = Callable[..., int]

_REFUSED_FILTERS = frozenset({"urlize", "striptags"})

_KEEPS_STRUCTURE = frozenset(
    {
        "abs",
        "attr",
        "batch",
        "count",
        "d",
        "default",
        "dictsort",
        "first",
        "float",
        "groupby",
        "int",
        "items",
        "last",
        "length",
        "list",
        "map",
        "max",
        "min",
        "random",
        "reject",
        "rejectattr",
        "reverse",
        "round",
        "safe",
        "select",
        "selectattr",
        "slice",
        "sort",
        "sum",
        "unique",
    }
)
"""Filters that never turn their whole value into text."""

_MAX_BITS = 1 << 16
"""The longest integer that arithmetic may make."""

_DIGITS = re.compile(r"\d+")


def guarded_filters() -> dict[str, Callable[..., Any]]:
    """Jinja2's filters, each of them paying for itself."""
    filters = {name: f for name, f in FILTERS.items() if name not in _REFUSED_FILTERS}
    filters["join"] = _join
    return {name: guard_filter(name, function) for name, function in filters.items()}


def guard_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, paid for by the larger of its arguments' size and its estimate."""
    skipped = 1 if hasattr(function, "jinja_pass_arg") else 0
    estimate = _FILTER_ESTIMATES.get(name)

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        values = args[skipped:]
        cost = STEP
        if name not in _KEEPS_STRUCTURE:
            cost += sum(map(printed_size, values)) + printed_size(kwargs)
        if estimate is not None:
            cost += estimate(*values, **kwargs)
        current().spend(cost)
        return charged(function(*args, **kwargs))

    return guarded


def charged(result: Any) -> Any:
    """Pay for a container that was made, by what it would print."""
    if isinstance(result, list | tuple | dict):
        current().spend(printed_size(result))
    return result


def is_builtin_method(function: Any) -> bool:
    """Whether it is a method of a plain value, as ``text.center``."""
    owner = getattr(function, "__self__", None)
    return isinstance(owner, str | bytes | int | float | list | tuple | Mapping)


def settled(args: Iterable[Any]) -> tuple[Any, ...]:
    """Arguments whose size can be known: streams become lists."""
    return tuple(list(arg) if isinstance(arg, Iterator) else arg for arg in args)


def method_cost(method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """The cost of calling a method of a plain value."""
    owner = method.__self__
    cost = STEP + sum(map(printed_size, args))
    if isinstance(owner, str | bytes):
        cost += len(owner)
    estimate = _METHOD_ESTIMATES.get(getattr(method, "__name__", ""))
    return cost + (estimate(owner, *args, **kwargs) if estimate is not None else 0)


def operator_cost(operator: str, left: Any, right: Any) -> int:
    """The size of ``left operator right``, for the operators that can grow."""
    if operator == "%" and isinstance(left, str):
        return _formatted(left, right)
    if isinstance(left, int) and isinstance(right, int):
        return _integer_cost(operator, left, right)
    if operator == "*":
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, str | bytes | list | tuple) and isinstance(times, int):
                return printed_size(sequence) * max(times, 0)
    if operator == "+" and isinstance(left, str | bytes | list | tuple):
        return printed_size(left) + printed_size(right)
    return 1


def format_cost(text: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """The size of ``text.format(…)``: every field may print the largest argument."""
    return _formatted(text, (*args, *kwargs.values()), fields=text.count("{"))


def _integer_cost(operator: str, left: int, right: int) -> int:
    bits = 0
    if operator == "*":
        bits = left.bit_length() + right.bit_length()
    elif operator == "**":
        bits = left.bit_length() * max(right, 0)
    if bits > _MAX_BITS:
        raise BudgetExceededError(f"an integer of more than {_MAX_BITS:,} bits")
    return 1


def _formatted(text: str, values: Any, *, fields: int | None = None) -> int:
    """``%`` and ``format``: widths may stand in the text or among the values."""
    if isinstance(values, Mapping):
        values = tuple(values.values())
    elif not isinstance(values, tuple):
        values = (values,)
    numbers = sum(abs(value) for value in values if isinstance(value, int))
    widths = sum(int(digits[:12]) for digits in _DIGITS.findall(text))
    largest = max(map(printed_size, values), default=0)
    count = text.count("%") if fields is None else fields
    return len(text) + widths + numbers + count * largest


def _width(value: Any, width: Any = 80, *_: Any, **__: Any) -> int:
    return width if isinstance(width, int) else printed_size(width)


def _indent(s: Any, width: Any = 4, *_: Any, **__: Any) -> int:
    return (_line_breaks(s) + 1) * _width(s, width)


def _line_breaks(value: Any) -> int:
    return value.count("\n") if isinstance(value, str) else 0


def _replace(s: Any, old: Any = "", new: Any = "", *_: Any, **__: Any) -> int:
    text = s if isinstance(s, str | bytes) else str(s)
    if type(old) not in (type(text), str, TracedText):
        return 0
    found = text.count(old) if old else len(text) + 1
    return found * printed_size(new)


def _text_join(separator: Any, parts: Any = (), *_: Any) -> int:
    return len(parts) * printed_size(separator) + printed_size(parts)


def _wordwrap(s: Any, width: Any = 79, *args: Any, wrapstring: Any = None, **_: Any) -> int:
    """textwrap copies the rest of a long word for each line that it cuts off."""
    text = str(s)
    breaks = len(text) // max(int(width), 1) + text.count("\n") + 1
    longest = max(map(len, text.split()), default=0)
    extra = wrapstring if wrapstring is not None else (args[1] if len(args) > 1 else None)
    return breaks * (printed_size(extra) + 1) + longest * longest // max(int(width), 1) // 16


def _round(value: Any, precision: Any = 0, *_: Any, **__: Any) -> int:
    if isinstance(precision, int) and abs(precision) > 400:
        raise BudgetExceededError(f"rounding to {precision} digits")
    return 1


def _sum(iterable: Any, attribute: Any = None, start: Any = 0, **_: Any) -> int:
    """Adding lists copies what was added before, once for each."""
    if not isinstance(start, list | tuple):
        return 1
    if attribute is not None or not isinstance(iterable, list | tuple):
        raise BudgetExceededError("a sum of lists over a stream or an attribute")
    return printed_size(iterable) * max(len(iterable), 1) // 2


def _tojson(value: Any, indent: Any = None, **_: Any) -> int:
    if isinstance(indent, int) and indent > 32:
        raise BudgetExceededError(f"an indent of {indent}")
    return printed_size(value) * (int(indent) if isinstance(indent, int) else 1)


def _translate(text: Any, table: Any = None, *_: Any) -> int:
    values = table.values() if isinstance(table, Mapping) else ()
    return len(text) * max(map(printed_size, values), default=1)


_FILTER_ESTIMATES: dict[str, Estimate] = {
    "batch": _width,
    "center": _width,
    "format": lambda value, *args, **kwargs: _formatted(str(value), args or kwargs),
    "indent": _indent,
    "replace": _replace,
    "round": _round,
    "slice": _width,
    "sum": _sum,
    "tojson": _tojson,
    "wordwrap": _wordwrap,
}

_METHOD_ESTIMATES: dict[str, Estimate] = {
    "center": _width,
    "expandtabs": lambda text, tabsize=8: text.count("\t") * max(tabsize, 0),
    "fromkeys": lambda _, keys=(), value=None: len(list(keys)) * printed_size(value),
    "join": _text_join,
    "ljust": _width,
    "replace": _replace,
    "rjust": _width,
    "to_bytes": lambda _, length=1, *__, **___: length,
    "translate": _translate,
    "zfill": _width,
}


@pass_eval_context
def _join(eval_ctx: Any, value: Any, d: str = "", attribute: Any = None) -> Any:
    """``join`` that knows what its parts will take and keeps their origins."""
    parts = list(value)
    current().spend(len(parts) * (printed_size(d) + 1) + printed_size(parts))
    separator = d if isinstance(d, TracedText) else TracedText(spans_of(str(d)))
    return do_join(eval_ctx, parts, separator, attribute)
