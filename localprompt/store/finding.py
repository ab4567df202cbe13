"""What a name means: the one way in which commands find what is stored.

A thing is called by its id, by any beginning of its id that no other shares (in either case), by
``last``, or by ``last~2`` (the second before the last). ``last`` is the newest of the kinds that
the asking command can show; ``last eval`` and ``last~2 bench`` say a kind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import msgspec

from localprompt import paths
from localprompt.errors import HistoryError, InputError, UnknownNameError
from localprompt.records.json import decode_as
from localprompt.store.connection import BUSY_SECONDS, empty_history, explained, open_history

RUNS = ("ask", "run", "chat")
"""Kinds of runs that stand for themselves."""
EXPERIMENTS = ("bench", "eval", "quality", "tune", "finetune", "improve", "choose")
KINDS = (*RUNS, *EXPERIMENTS)

_WORDS = {
    "bench": "bench",
    "eval": "evaluation",
    "quality": "measurement of quality",
    "tune": "tuning",
    "finetune": "training",
    "improve": "improvement",
    "choose": "choice",
}
_MAKE = {
    "bench": "localprompt bench summarize -p text=@notes.txt",
    "eval": "localprompt eval SUITE",
    "quality": "localprompt models quality MODEL",
    "tune": "localprompt tune MODEL",
    "finetune": "localprompt finetune measure PROMPT",
    "improve": "localprompt improve PROMPT --cases FILE",
    "choose": "localprompt choose SUITE -m MODEL -m MODEL",
}
_LAST = re.compile(r"last(?:~(\d{1,9}))?(?:\s+([a-z]+))?", re.ASCII)
_ID_PREFIX = re.compile(r"[0-9A-Z]{1,26}", re.ASCII)
_AFTER_EVERY_DIGIT = "~"
_SHOWN_MATCHES = 5
_MOST_WORDS = 3
_LIST = "localprompt runs list"

Record = TypeVar("Record", bound=msgspec.Struct)


class Found(NamedTuple):
    """What a name means."""

    id: str
    kind: str
    """Of :data:`KINDS`; for a repetition the kind of what it belongs to."""
    is_run: bool
    """False: an experiment."""


class OpenHistory:
    """The open database, and the way from names to ids; see :class:`localprompt.store.History`."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        read_only: bool = False,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self.path = paths.history_path() if path is None else path
        self._open = ExitStack()
        with explained(self.path):
            empty = read_only and not self.path.exists()
        self._connection = self._open.enter_context(
            empty_history()
            if empty
            else open_history(self.path, busy_seconds, "read" if read_only else "write")
        )

    def find(self, reference: str, kinds: Sequence[str] = KINDS) -> Found:
        """What ``reference`` means to whoever can take these kinds. Where single runs are among
        them, the repetitions of benches can be called by their ids, too.

        Raises:
            UnknownNameError: nothing, or more than one thing, is called so.
        """
        name = reference.strip()
        with explained(self.path):
            if (match := _LAST.fullmatch(name)) and match[2] is None:
                return self._nth_newest(int(match[1] or 0), reference, kinds)
            if match and match[2] in kinds:
                return self._nth_newest(int(match[1] or 0), reference, (match[2],))
            if match:
                raise UnknownNameError(
                    f"{match[2]!r} is not a kind that can be used here",
                    where=reference,
                    nearest=tuple(kinds),
                )
            return self._by_prefix(name.upper(), reference, kinds)

    def find_both(self, a: str, b: str, kinds: Sequence[str]) -> tuple[Found, Found]:
        """What two names mean that are to be set side by side: ``last`` and ``last~1`` then count
        what is of the other one's kind, or of the kind that was made last.

        Raises:
            UnknownNameError: nothing, or more than one thing, is called so.
            InputError: they are of different kinds.
        """
        said = [self.find(name, kinds) for name in (a, b) if not _counts(name)]
        first = said[0] if said else self.find("last", kinds)
        counted = RUNS if first.is_run else (first.kind,)
        one, other = (self.find(name, counted if _counts(name) else kinds) for name in (a, b))
        if (one.kind == "eval") != (other.kind == "eval"):
            raise InputError(
                f"{_named([one.kind])} and {_named([other.kind])} cannot be compared",
                where=f"{a}, {b}",
                expected="two of a kind",
            )
        return one, other

    def newest(self, kinds: Sequence[str] = KINDS, n: int = 0) -> Found | None:
        """The newest of these kinds, or the ``n``-th before it; None: there are not so many."""
        newest: list[Found] = []
        with explained(self.path):
            for kind in kinds:
                is_run = kind in RUNS
                table = "runs" if is_run else "experiments"
                rows = self._connection.execute(
                    f"SELECT id FROM {table} WHERE kind = ? ORDER BY id DESC LIMIT ?",  # noqa: S608
                    (kind, n + 1),
                )
                newest += [Found(id_, kind, is_run) for (id_,) in rows]
        newest.sort(reverse=True)
        return newest[n] if n < len(newest) else None

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _nth_newest(self, n: int, reference: str, kinds: Sequence[str]) -> Found:
        if found := self.newest(kinds, n):
            return found
        count = sum(self._count(kind) for kind in kinds)
        if not count:
            raise UnknownNameError(
                f"there is no {reference!r}: {_none_of(kinds)} is recorded yet",
                where=str(self.path),
                next_step=_MAKE.get(kinds[-1], 'localprompt ask "Name three colours."')
                if len(kinds) == 1
                else 'localprompt ask "Name three colours."',
            )
        raise UnknownNameError(
            f"there is no {reference!r}: only {count} of that kind "
            f"{'is' if count == 1 else 'are'} recorded ({_named(kinds)})",
            nearest=("last",) if count == 1 else ("last", f"last~{count - 1}"),
            next_step=_LIST,
        )

    def _count(self, kind: str) -> int:
        table = "runs" if kind in RUNS else "experiments"
        query = f"SELECT count(*) FROM {table} WHERE kind = ?"  # noqa: S608
        return int(self._one(query, kind)[0])

    def _by_prefix(self, prefix: str, reference: str, kinds: Sequence[str]) -> Found:
        is_id = _ID_PREFIX.fullmatch(prefix) is not None
        found = self._beginning_with(prefix, kinds) if is_id else []
        found = [one for one in found if one.id == prefix] or found
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownNameError(
                f"more than one {_named(kinds)} begins with {reference!r}",
                nearest=tuple(one.id for one in found[:_SHOWN_MATCHES]),
                next_step="type more of the id",
            )
        others = self._beginning_with(prefix, KINDS) if is_id else []
        if others:
            word = "run" if others[0].is_run else _WORDS[others[0].kind]
            wanted = _named(kinds)
            raise UnknownNameError(
                f"{reference!r} is {_article(word)} {word}, not {_article(wanted)} {wanted}",
                where=str(self.path),
                next_step=f"localprompt runs show {reference}",
            )
        raise UnknownNameError(
            f"{_none_of(kinds)} is called {reference!r}",
            where=str(self.path),
            nearest=tuple(one.id for n in range(3) if (one := self.newest(kinds, n))),
            next_step=_LIST,
        )

    def _beginning_with(self, prefix: str, kinds: Sequence[str]) -> list[Found]:
        """The newest of these kinds whose ids begin so; repetitions of benches with single runs."""
        between = (prefix, prefix + _AFTER_EVERY_DIGIT)
        found = []
        if RUNS[0] in kinds:
            query = "SELECT id, kind FROM runs WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ?"
            rows = self._connection.execute(query, (*between, _SHOWN_MATCHES))
            found += [Found(id_, kind, is_run=True) for id_, kind in rows]
        marks = ", ".join("?" * len(kinds))
        query = f"""
            SELECT id, kind FROM experiments WHERE id >= ? AND id < ? AND kind IN ({marks})
            ORDER BY id DESC LIMIT ?"""  # noqa: S608
        rows = self._connection.execute(query, (*between, *kinds, _SHOWN_MATCHES))
        found += [Found(id_, kind, is_run=False) for id_, kind in rows]
        return sorted(found, reverse=True)

    def _one(self, query: str, *values: object) -> Any:
        return self._connection.execute(query, values).fetchone()

    def _decoded(self, id_: str, record: str, what: type[Record]) -> Record:
        """The record, or how to go on without it."""
        try:
            return decode_as(record, what)
        except msgspec.DecodeError as error:
            raise HistoryError(
                "a record cannot be read",
                where=f"{self.path}, {what.__name__} {id_}",
                found=str(error),
                next_step="if a newer localprompt wrote it, update; otherwise delete that row",
            ) from error


def _counts(reference: str) -> bool:
    """Whether it is ``last`` or ``last~2``, without a kind."""
    match = _LAST.fullmatch(reference.strip())
    return match is not None and match[2] is None


def _none_of(kinds: Sequence[str]) -> str:
    """``no bench``, ``nothing``."""
    return "nothing" if kinds == KINDS else f"no {_named(kinds)}"


def _article(word: str) -> str:
    return "an" if word[0] in "aei" else "a"


def _named(kinds: Sequence[str]) -> str:
    """``run, evaluation or bench``."""
    words = list(dict.fromkeys(_WORDS.get(kind, "run") for kind in reversed(kinds)))
    if len(words) > _MOST_WORDS:
        return "thing"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
