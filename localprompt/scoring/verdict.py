"""What a single check found, before negation, weights and metrics are applied."""

from __future__ import annotations

import msgspec

SHOWN = 80
"""How much of a value a reason quotes."""


class Verdict(msgspec.Struct, frozen=True):
    """The finding of a check, as if it were not negated."""

    met: bool
    finding: str
    """True either way, so that it explains a pass and a failure of ``not-`` alike."""
    score: float | None = None
    """0 to 1 for graded checks; None: 1 where met, otherwise 0."""

    def graded(self) -> float:
        return float(self.met) if self.score is None else self.score


def quoted(value: object) -> str:
    """``value`` in quotes on one line, shortened where it is long."""
    text = " ".join(str(value).split())
    return f'"{text}"' if len(text) <= SHOWN else f'"{text[: SHOWN - 1]}…"'
