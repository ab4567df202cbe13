"""Names for runs that sort by time, made without asking anybody.

A run needs its name before it is stored (worker processes and ``--no-log`` runs have one too),
so it is drawn here and not by the database. The layout is ULID's: 48 bits of milliseconds since
1970 and 80 random bits, written as 26 characters of Crockford's base 32 (no I, L, O or U). The
first ten characters are the time, so ids sort as their runs do, and a prefix of ten is enough to
tell runs apart that did not begin in the same millisecond.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BYTES = 10
_RANDOM_BITS = 8 * _RANDOM_BYTES
ID_LENGTH = 26


class IdSource:
    """Draws ids, each greater than the one before it.

    Within one millisecond, and while the clock stands still or goes back, the next id is the last
    one plus one: the order of ids is then the order in which they were drawn.

    Args:
        clock: seconds since 1970.
        random_bytes: that many random bytes.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self._lock = threading.Lock()
        self._last = -1

    def new(self) -> str:
        """26 characters, upper case."""
        with self._lock:
            milliseconds = int(self._clock() * 1000)
            if milliseconds <= self._last >> _RANDOM_BITS:
                self._last += 1
            else:
                noise = int.from_bytes(self._random_bytes(_RANDOM_BYTES), "big")
                self._last = milliseconds << _RANDOM_BITS | noise
            return _encode(self._last)


def new_run_id() -> str:
    """An id that no other run has and that sorts after every id this process drew before."""
    return _source.new()


def _encode(value: int) -> str:
    characters = []
    for _ in range(ID_LENGTH):
        value, digit = divmod(value, 32)
        characters.append(_ALPHABET[digit])
    return "".join(reversed(characters))


def _start_over() -> None:
    global _source  # noqa: PLW0603  (one source per process is the point)
    _source = IdSource()


_source = IdSource()
# A forked child would otherwise count on from the same last id as its parent.
os.register_at_fork(after_in_child=_start_over)
