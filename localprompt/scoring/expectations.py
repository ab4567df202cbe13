"""The records that go into scoring and come out of it.

They know no file format: suites are read by :mod:`localprompt.sources.suite.suite`, which hands
over expectations whose values are already rendered for one case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from localprompt.records.prompt import Message


class Judge(Protocol):
    """A local model that grades answers."""

    def ask(self, messages: Sequence[Message], schema: Mapping[str, Any]) -> str:
        """The model's reply to ``messages``, as text.

        Segments with a ``source`` come from the case or from the judged answer: they must be
        tokenized as plain text. ``schema`` is the JSON Schema that the reply should follow; a
        judge that can constrain its output should, one that cannot may ignore it.
        """


class CannotScoreError(Exception):
    """An expectation cannot be applied to this answer; the message says why.

    Never leaves :mod:`localprompt.scoring`: it becomes an unscored :class:`Score`.
    """
