"""What is wrong with a suite, collected so that all of it can be told at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from localprompt.errors import DatasetError, LocalPromptError
from localprompt.sources.yaml import At

MOST_SHOWN = 20


class Problem(msgspec.Struct, frozen=True):
    where: str
    message: str
    expected: str | None = None
    found: str | None = None
    next_step: str | None = None

    def told(self, times: int) -> str:
        parts = [f"{self.where}: {self.message}"]
        parts += [f"expected {self.expected}"] if self.expected else []
        parts += [f"found {self.found}"] if self.found else []
        parts += [f"and so in {times - 1:,} more places"] if times > 1 else []
        return "; ".join(parts)


class Problems:
    """Collects problems by kind: the first of each is told, with how many there are.

    Args:
        strict: whether a key that is not known is a problem, or is only noted.
    """

    def __init__(self, *, strict: bool = True) -> None:
        self.strict = strict
        self.kinds: dict[tuple[str, str | None], tuple[Problem, int]] = {}
        self.count = 0

    def add(
        self,
        at: At | str,
        message: str,
        expected: str | None = None,
        found: str | None = None,
        next_step: str | None = None,
    ) -> None:
        self.count += 1
        first, times = self.kinds.get((message, expected), (None, 0))
        if first is not None or len(self.kinds) < MOST_SHOWN:
            told = first or Problem(str(at), message, expected, found, next_step)
            self.kinds[message, expected] = told, times + 1

    def add_error(self, error: LocalPromptError, at: At | str) -> None:
        """An error of a part that raises at once."""
        self.add(error.where or at, error.message, error.expected, error.found, error.next_step)

    def raise_if_any(self, next_step: str | None = None) -> None:
        """
        Raises:
            DatasetError: one problem as itself, several as a list.
        """
        if self.count == 0:
            return
        told = list(self.kinds.values())
        if len(told) == 1:
            only, times = told[0]
            more = f" (here and in {times - 1:,} more places)" if times > 1 else ""
            raise DatasetError(
                only.message + more,
                where=only.where,
                expected=only.expected,
                found=only.found,
                next_step=next_step or only.next_step,
            )
        lines = [first.told(times) for first, times in told]
        left = self.count - sum(times for _, times in told)
        lines += [f"… and {left:,} more"] if left else []
        message = "\n  ".join([f"{self.count:,} problems in this suite", *lines])
        steps = (first.next_step for first, _ in told if first.next_step)
        raise DatasetError(message, next_step=next_step or next(steps, None))


def text_of(value: Mapping[str, Any], key: str, at: At, problems: Problems) -> str | None:
    """The text under a key; None where there is none, or where it is not text."""
    item = value.get(key)
    if item is None or isinstance(item, str):
        return item
    problems.add(at / key, f"{key} is not text", "a text", repr(item))
    return None


class Trail:
    """The files that are being read: one that leads back to itself would be read for ever."""

    def __init__(self) -> None:
        self._open: list[str] = []

    @contextmanager
    def into(self, name: str, at: At | str, problems: Problems) -> Iterator[bool]:
        """While a file is read; False, and a problem, where that is so already."""
        if name in self._open:
            problems.add(at, "a file that leads back to itself", found=name)
            yield False
            return
        self._open.append(name)
        try:
            yield True
        finally:
            self._open.remove(name)


def nearest(name: str, known: Iterable[str], hint: str | None = None) -> str:
    """``one of: a, b`` with the names closest to ``name``; where none is close, all of them, or
    the hint."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    return f"one of: {', '.join(close or names)}" if close or hint is None else hint


def by_kind(notes: Iterable[str]) -> tuple[str, ...]:
    """Notes (``place: text``) with each text told once, at its first place, and how often it came.

    A file of a thousand rows has the same unknown key in all of them.
    """
    first: dict[str, str] = {}
    times: dict[str, int] = {}
    for note in notes:
        place, _, text = note.partition(": ")
        kind = text if place.endswith(")") else note
        first.setdefault(kind, note)
        times[kind] = times.get(kind, 0) + 1
    return tuple(
        note if times[kind] == 1 else f"{note} (here and in {times[kind] - 1:,} more places)"
        for kind, note in first.items()
    )


class Keys(msgspec.Struct, frozen=True):
    """What a mapping may hold."""

    known: frozenset[str]
    ignored: Mapping[str, str] = {}
    """Keys without effect here, with what to tell the user."""
    refused: Mapping[str, str] = {}
    """Keys that would change the outcome and are not supported, with why."""
    hint: str | None = None
    """What somebody may have meant by a key that is like none of those."""

    def check(self, value: Mapping[str, object], at: At, problems: Problems) -> list[str]:
        """Reports refused keys, and unknown ones where that is strict; returns notes on others."""
        notes = []
        for key in value:
            if key in self.refused and value[key] not in (None, [], {}):
                problems.add(at / str(key), f"{key!r} is not supported: {self.refused[key]}")
            elif key in self.ignored:
                notes.append(f"{at / str(key)}: {key!r} is ignored: {self.ignored[key]}")
            elif key not in self.known and key not in self.refused:
                expected = nearest(str(key), self.known, self.hint)
                if problems.strict:
                    problems.add(at / str(key), f"the key {key!r} is not known", expected)
                else:
                    notes.append(f"{at / str(key)}: {key!r} is not known and ignored; {expected}")
        return notes
