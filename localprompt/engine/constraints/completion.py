"""What a cut answer lacks: the shortest way to its end that its constraint allows.

A cut answer is brought to its end a byte at a time: close the text, then the list or mapping, and
where something still has to be written, write the least of it. That is the shortest ending but
for choices between values of different kinds, and it is always a valid one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from localprompt.engine.base import Constraint
from localprompt.engine.constraints.grammars import limits

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

MOST_BYTES = 4_000
"""Of an ending; what needs more is not brought to one."""
_IN_TEXT = b'"'
_BETWEEN = b'}],:0"ntf[{ '


def shortest_ending(constraint: Constraint, text: str) -> str | None:
    """What to write behind a cut answer.

    Args:
        text: the answer as far as it goes.

    Returns:
        None: it does not follow the constraint, or its end is too far away.
    """
    from llguidance import LLMatcher

    data = bytearray(text.encode())
    matcher = LLMatcher(_bytes(), constraint.grammar, log_level=0, limits=limits())
    if matcher.try_consume_tokens(list(data)) != len(data):
        return None
    start = len(data)
    while not matcher.is_accepting():
        step = matcher.compute_ff_bytes() or _next_byte(matcher, data)
        if not step or len(data) - start + len(step) > MOST_BYTES:
            return None
        if matcher.try_consume_tokens(list(step)) != len(step):
            return None
        data += step
    return data[start:].decode(errors="replace")


@cache
def _bytes() -> LLTokenizer:
    from llguidance import LLTokenizer

    return LLTokenizer("byte", slices=[])


def _next_byte(matcher: LLMatcher, before: bytearray) -> bytes:
    mask = matcher.compute_bitmask()
    wanted: Iterable[int] = _IN_TEXT if _in_text(before) else _BETWEEN
    for byte in (*wanted, *range(48, 256), *range(48)):
        if mask[byte >> 3] >> (byte & 7) & 1:
            return bytes((byte,))
    return b""


def _in_text(data: bytearray) -> bool:
    """Whether JSON stands inside a string at its end."""
    inside = escaped = False
    for byte in data:
        if escaped:
            escaped = False
        elif byte == 0x5C:
            escaped = inside
        elif byte == 0x22:
            inside = not inside
    return inside
