"""Levenshtein distance in bounded time.

The plain table takes n × m steps: 10^10 for two texts of 100,000 characters. Two algorithms
cover what occurs. Texts of ordinary length are compared exactly, a column at a time, with the
column's differences packed into one big integer (Myers 1999, in Hyyrö's formulation 2003).
Longer ones are compared only as far as the threshold asks: the furthest row that each diagonal
reaches with d edits (Ukkonen 1985; Landau & Vishkin 1989), which takes about threshold² steps,
each of which skips equal stretches at the speed of a slice comparison.
"""

from __future__ import annotations

from localprompt.scoring.expectations import CannotScoreError

EXACT_CELLS = 400_000_000
"""Largest n × m that is computed exactly: about 0.2 s."""
WIDEST_BAND = 128
"""Largest threshold for texts beyond that."""


def levenshtein(a: str, b: str, limit: int) -> int | None:
    """The number of single-character edits between ``a`` and ``b``; None: more than ``limit``.

    Raises:
        CannotScoreError: the texts are too long for so large a limit.
    """
    a, b = _without_common_ends(a, b)
    if len(a) > len(b):
        a, b = b, a
    if len(b) - len(a) > limit:
        return None
    if not a:
        return len(b)
    if len(a) * len(b) <= EXACT_CELLS:
        distance = _bit_parallel(a, b)
        return distance if distance <= limit else None
    if limit <= WIDEST_BAND:
        return _by_diagonals(a, b, limit)
    raise CannotScoreError(
        f"texts of {len(a):,} and {len(b):,} characters are too long to be compared"
        f" with a threshold of {limit:,} (at most {WIDEST_BAND})"
    )


def _without_common_ends(a: str, b: str) -> tuple[str, str]:
    start = _common_prefix(a, b, 0, 0)
    a, b = a[start:], b[start:]
    end = _common_prefix(a[::-1], b[::-1], 0, 0)
    return a[: len(a) - end], b[: len(b) - end]


def _common_prefix(a: str, b: str, i: int, j: int) -> int:
    """How many characters from ``a[i]`` and ``b[j]`` on are equal."""
    most = min(len(a) - i, len(b) - j)
    length, step = 0, 16
    while length < most:  # whole blocks, each twice as long as the one before …
        step = min(step, most - length)
        if a[i + length : i + length + step] != b[j + length : j + length + step]:
            break
        length += step
        step *= 2
    else:
        return most
    equal, unequal = 0, step  # … then the first difference inside the block that had one
    while unequal - equal > 1:
        middle = (equal + unequal) // 2
        if a[i + length : i + length + middle] == b[j + length : j + length + middle]:
            equal = middle
        else:
            unequal = middle
    return length + equal


def _bit_parallel(short: str, long: str) -> int:
    """Exact distance; bit i of each integer is row i of the current column."""
    rows: dict[str, int] = {}
    for i, character in enumerate(short):
        rows[character] = rows.get(character, 0) | 1 << i
    everything = (1 << len(short)) - 1
    last = 1 << (len(short) - 1)
    up, down = everything, 0  # where a column rises, and where it falls
    distance = len(short)
    for character in long:
        equal = rows.get(character, 0)
        diagonal = (((equal & up) + up) ^ up) | equal | down
        right_up = down | ~(diagonal | up) & everything
        right_down = up & diagonal
        if right_up & last:
            distance += 1
        elif right_down & last:
            distance -= 1
        right_up = (right_up << 1 | 1) & everything
        right_down = right_down << 1 & everything
        up = right_down | ~(diagonal | right_up) & everything
        down = right_up & diagonal
    return distance


def _by_diagonals(short: str, long: str, limit: int) -> int | None:
    """Distance up to ``limit``; ``reach[k]`` is the furthest row on diagonal k (column − row)."""
    goal = len(long) - len(short)
    reach = {0: _common_prefix(short, long, 0, 0)}
    for edits in range(1, limit + 1):
        previous, reach = reach, {}
        for k in range(max(-edits, -len(short)), min(edits, len(long)) + 1):
            row = max(
                previous.get(k, -2) + 1,  # a character replaced
                previous.get(k + 1, -2) + 1,  # one of the short text left out
                previous.get(k - 1, -1),  # one of the long text put in
            )
            row = min(row, len(short), len(long) - k)
            if row < 0:
                continue
            row += _common_prefix(short, long, row, row + k)
            if k == goal and row == len(short):
                return edits
            reach[k] = row
    return None
