"""What a search may cost, and what it has cost so far."""

from __future__ import annotations

import time

from localprompt.improve.asking import Asker
from localprompt.records.improvement import ImproveRequest

_FOR_SEARCHING = 0.7
"""Of the minutes; the rest is for the selection and the final part."""


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

    def check(self, cases: int) -> None:
        """
        Args:
            cases: that are to be asked next.

        Raises:
            BudgetSpentError: there is none left for them.
        """
        request = self._request
        if request.minutes is not None and self.seconds > _FOR_SEARCHING * 60 * request.minutes:
            raise BudgetSpentError(f"{request.minutes:g} minutes")
        most = request.max_evaluations
        if most is not None and self._asker.evaluations + cases > _FOR_SEARCHING * most:
            raise BudgetSpentError(f"{most:,} evaluations")
        if request.max_tokens is not None and self._asker.tokens > (
            _FOR_SEARCHING * request.max_tokens
        ):
            raise BudgetSpentError(f"{request.max_tokens:,} tokens")
