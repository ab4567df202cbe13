"""What is wrong with a suite, collected so that all of it can be told at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import msgspec

from localprompt.errors import DatasetError, LocalPromptError
from localprompt.sources.yaml import At

MOST_SHOWN = 20


class Problem(msgspec.Struct, frozen=True):
    where: str
    message: str
    expected: str | None = None
    found: str | None = None

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.message}"]
        parts += [f"expected {self.expected}"] if self.expected else []
        parts += [f"found {self.found}"] if self.found else []
        return "; ".join(parts)


class Problems:
    """Collects problems; ``count`` goes on where the list stops growing."""

    def __init__(self) -> None:
        self.first: list[Problem] = []
        self.count = 0

    def add(
        self, at: At | str, message: str, expected: str | None = None, found: str | None = None
    ) -> None:
        self.count += 1
        if len(self.first) < MOST_SHOWN:
            self.first.append(Problem(str(at), message, expected, found))

    def add_error(self, error: LocalPromptError, at: At | str) -> None:
        """An error of a part that raises at once."""
        self.add(error.where or at, error.message, error.expected, error.found)

    def raise_if_any(self, next_step: str | None = None) -> None:
        """
        Raises:
            DatasetError: one problem as itself, several as a list.
        """
        if self.count == 0:
            return
        if self.count == 1:
            only = self.first[0]
            raise DatasetError(
                only.message,
                where=only.where,
                expected=only.expected,
                found=only.found,
                next_step=next_step,
            )
        lines = [str(problem) for problem in self.first]
        if self.count > len(lines):
            lines.append(f"… and {self.count - len(lines)} more")
        message = "\n  ".join([f"{self.count} problems in this suite", *lines])
        raise DatasetError(message, next_step=next_step)


def nearest(name: str, known: Iterable[str]) -> str:
    """``one of: a, b`` with the names closest to ``name``, or all where none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    return f"one of: {', '.join(close or names)}"


class Keys(msgspec.Struct, frozen=True):
    """What a mapping may hold."""

    known: frozenset[str]
    ignored: Mapping[str, str] = {}
    """Keys without effect here, with what to tell the user."""
    refused: Mapping[str, str] = {}
    """Keys that would change the outcome and cannot be had, with why."""

    def check(self, value: Mapping[str, object], at: At, problems: Problems) -> list[str]:
        """Reports unknown and refused keys; returns notes on ignored ones."""
        notes = []
        for key in value:
            if key in self.refused:
                problems.add(at / str(key), f"{key!r} cannot be had: {self.refused[key]}")
            elif key in self.ignored:
                notes.append(f"{at / str(key)}: {key!r} is ignored: {self.ignored[key]}")
            elif key not in self.known:
                expected = nearest(str(key), self.known)
                problems.add(at / str(key), f"the key {key!r} is not known", expected)
        return notes
