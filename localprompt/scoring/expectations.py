"""The records that go into scoring and come out of it.

They know no file format: suites are read by :mod:`localprompt.sources.suite.suite`, which hands
over expectations whose values are already rendered for one case.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from localprompt.records.prompt import Message


class Judge(Protocol):
    """A local model that grades answers."""

    def ask(self, messages: Sequence[Message], schema: Mapping[str, Any]) -> str:
        """The model's reply to ``messages``, as text.

        Segments with a ``source`` come from the case or from the judged answer: they must be
        tokenized as plain text. ``schema`` is the JSON Schema that the reply should follow; a
        judge that can constrain its output should, one that cannot may ignore it.
        """

    def embed(self, text: str) -> tuple[tuple[float, ...], str]:
        """The vector of a text, of length 1, and by what it was made, in words."""


class CannotScoreError(Exception):
    """An expectation cannot be applied to this answer; the message says why.

    Never leaves :mod:`localprompt.scoring`: it becomes an unscored :class:`Score`.
    """


SHOWN = 80
"""How much of a value a reason quotes."""


class Verdict(msgspec.Struct, frozen=True):
    """The finding of a check, as if it were not negated."""

    met: bool
    finding: str
    """True either way, so that it explains a pass and a failure of ``not-`` alike."""
    score: float | None = None
    """0 to 1 for graded checks; None: 1 where met, otherwise 0."""
    as_it_is: bool = False
    """True: ``not-`` has been thought of; neither ``met`` nor ``score`` is turned round."""

    def graded(self) -> float:
        return float(self.met) if self.score is None else self.score


def finite(value: object) -> float | None:
    """A finite number as a float; None for anything else: a boolean, NaN, an infinity, and a whole
    number that no float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # Python's whole numbers have no end
        return None
    return number if math.isfinite(number) else None


def quoted(value: object) -> str:
    """``value`` in quotes on one line, shortened where it is long."""
    text = " ".join(str(value).split())
    return f'"{text}"' if len(text) <= SHOWN else f'"{text[: SHOWN - 1]}…"'
