"""Guessing what an answer copies: the last tokens are looked up in all that was written before.

A summary, a rewrite or an extraction repeats stretches of its prompt, and many answers repeat
themselves. Where the last few tokens stood before, what followed them there is likely to follow
them here (prompt lookup decoding, Saxena 2023). Evaluating eight tokens together takes the time of
two or three, because the weights are read once; so a guess that is right saves steps, and one that
is wrong costs a part of one.

When to guess is decided by what was written and by which guesses were right, never by a clock:
the same request must be evaluated in the same batches each time, or it would round differently.
"""

from __future__ import annotations

from collections.abc import Sequence

SHORTEST_MATCH = 4
"""Tokens that must have stood together before."""
MOST_GUESSED = 7
"""Beside the token that is known: eight together cost what two or three do, sixteen what five."""
_FIRST_GUESS = 5
_LONGEST_PAUSE = 128


class Lookup:
    """What one request has written, prompt and answer, and how well guessing went."""

    def __init__(self, token_ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        """The last place behind each run of :data:`SHORTEST_MATCH` tokens."""
        self._size = _FIRST_GUESS
        self._failures = 0
        self._pause_until = 0
        self.add(token_ids)

    def add(self, token_ids: Sequence[int]) -> None:
        """Go on with these tokens."""
        ids, after = self._ids, self._after
        for token_id in token_ids:
            # What ends here is entered one token late, so that a run is never found in itself.
            if len(ids) >= SHORTEST_MATCH:
                after[tuple(ids[-SHORTEST_MATCH:])] = len(ids)
            ids.append(token_id)

    def guess(self, most: int) -> list[int]:
        """What may follow; nothing where there is no reason for it."""
        ids = self._ids
        if len(ids) < max(SHORTEST_MATCH, self._pause_until):
            return []
        start = self._after.get(tuple(ids[-SHORTEST_MATCH:]))
        if start is None:
            return []
        return ids[start : start + min(most, self._size)]

    def told(self, drafted: int, right: int) -> None:
        """How many of the guesses that were made were right, from the first on."""
        if right == drafted:
            self._failures = 0
            self._size = min(MOST_GUESSED, 2 * self._size)
        elif right:
            self._failures = 0
            self._size = max(_FIRST_GUESS, right)
        else:
            self._failures += 1
            self._size = _FIRST_GUESS
            self._pause_until = len(self._ids) + min(_LONGEST_PAUSE, 2 << self._failures)
