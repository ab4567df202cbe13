"""What a search may cost, and what it has cost so far."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

from localprompt.improve.asking import Asker
from localprompt.records.improvement import ImproveRequest

PACE_FROM = 20
"""Cases asked before their pace says anything: the first ones carry the opening of the model."""
_FOR_SEARCHING = 0.7
"""Of the minutes; the rest is for the selection and the final part."""

_SHARES = {"wordings": 0.5, "details": 0.7, "examples": 0.88}
"""Of what is for searching: what is used when a stage has to be over."""


def share_of(stage: str, coming: Sequence[str]) -> float:
    """Where a stage ends, so that the later ones have their turn; the last one may use it all.

    Args:
        coming: the stages that take place, in order.
    """
    return 1.0 if stage == coming[-1] else _SHARES[stage]


class BudgetSpentError(Exception):
    """The search has to go on to its end with what it knows; carries which budget, in words."""


class Budget:
    """Checked before every block of cases.

    Args:
        request: its limits; None is no limit.
    """

    def __init__(self, request: ImproveRequest, asker: Asker) -> None:
        self._request = request
        self._asker = asker
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def limit(self) -> str:
        """The tightest limit, in words."""
        return max(self._used(0), default=(0.0, "no limit"))[1]

    def has_room(self, cases: int, share: float) -> bool:
        """Whether ``cases`` more can be asked, at the pace so far, before ``share`` of what is for
        searching is used."""
        return all(used <= share * _FOR_SEARCHING for used, _ in self._used(cases))

    def cases_left(self) -> float:
        """Cases that still fit into what is for searching, at the pace so far; infinitely many
        where nothing is limited."""
        asked = self._asker.evaluations
        shares = (used for used, _ in self._used(0) if used)
        return min((asked * max(0.0, _FOR_SEARCHING / u - 1) for u in shares), default=math.inf)

    def _used(self, cases: int) -> Iterator[tuple[float, str]]:
        """The part of each limit that is used, with so many cases more."""
        request, asker = self._request, self._asker
        known = asker.evaluations >= PACE_FROM
        growth = 1 + cases / asker.evaluations if known else 1.0
        if request.minutes is not None:
            seconds = self.seconds * growth
            yield seconds / (60 * request.minutes), f"{request.minutes:g} minutes"
        if request.max_evaluations is not None:
            most = request.max_evaluations
            yield (asker.evaluations + cases) / most, f"{most:,} evaluations"
        if request.max_tokens is not None:
            yield asker.tokens * growth / request.max_tokens, f"{request.max_tokens:,} tokens"

    def check(self, cases: int) -> None:
        """
        Args:
            cases: that are to be asked next.

        Raises:
            BudgetSpentError: there is none left for them.
        """
        asked = self._request.max_evaluations
        ahead = cases if asked is not None else 0  # how many come is known, how long they take not
        if not self.has_room(ahead, 1.0):
            raise BudgetSpentError(self.limit)
