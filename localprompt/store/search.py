"""Which runs are meant: by kind, model, prompt, age, tag, and by what was said in them.

What was said (the prompt's messages and the answer) is searched by a regular expression, without
regard to case. An index of three-letter pieces finds the few runs that can match where the
expression (each of its alternatives) has three plain letters in a row; the expression itself then
decides. Without such letters the runs are read one by one, newest first.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from localprompt.errors import InputError
from localprompt.records import json
from localprompt.store.connection import comparable, transaction
from localprompt.store.schema import RUN_TEXT

if TYPE_CHECKING:
    import sqlite3

_PIECE = 3
_WANTED = "localprompt_wanted"
_MISSING = """
FROM runs WHERE id NOT IN (SELECT run_id FROM searched_runs)"""
_AT_ONCE = 500
_ADD_TO_INDEX = """
INSERT INTO run_index (rowid, text)
SELECT number, {text} FROM searched_runs JOIN runs ON runs.id = run_id WHERE number > ?"""
_SAID_IN_EXPERIMENT = f"""
({_WANTED}(record) OR EXISTS (
  SELECT 1 FROM eval_results
  WHERE experiment_id = experiments.id AND {_WANTED}(eval_results.record)))"""  # noqa: S608


class Filter(msgspec.Struct, frozen=True):
    """Every condition that is given has to hold."""

    kind: str | None = None
    model: str | None = None
    """The model's name, exactly."""
    prompt: str | None = None
    """The prompt's name, exactly; prompts typed in place have none."""
    since: datetime | None = None
    """Made at this time or later, to the second."""
    tag: str | None = None
    before: str | None = None
    """Made before what has this id: a list goes on where it ended."""
    grep: str | None = None
    """A regular expression that is found in what was said, in any case of letters."""

    @property
    def pattern(self) -> re.Pattern[str] | None:
        """
        Raises:
            InputError: it is not a regular expression.
        """
        if self.grep is None:
            return None
        try:
            with warnings.catch_warnings(action="ignore"):  # of what Python may mean some day
                return re.compile(self.grep, re.IGNORECASE)
        except re.error as error:
            at = "" if error.pos is None else f" at character {error.pos + 1}"
            raise InputError(
                "not a regular expression",
                where="--grep",
                expected="words, or an expression as 'invoice|receipt'",
                found=f"{self.grep!r}: {error.msg}{at}",
            ) from error


EVERYTHING = Filter()


def runs_where(where: Filter, connection: sqlite3.Connection) -> tuple[str, list[Any]]:
    """The condition on a row of ``runs``, and its values.

    Raises:
        InputError: ``grep`` of the filter is not a regular expression.
    """
    conditions = {
        "kind = ?": where.kind,
        "model_name = ?": None if where.model is None else json.well_formed(where.model),
        "prompt_name = ?": None if where.prompt is None else json.well_formed(where.prompt),
        "created_at >= ?": None if where.since is None else comparable(where.since),
        "id IN (SELECT id FROM tags WHERE tag = ?)": where.tag,
        "id < ?": where.before,
    }
    given = {sql: value for sql, value in conditions.items() if value is not None}
    sql, values = " AND ".join(["true", *given]), list(given.values())
    pattern = where.pattern
    if pattern is None:
        return sql, values
    _define(connection, pattern)
    pieces = _index_query(pattern.pattern)
    if pieces is not None and _index_what_is_not(connection):
        sql += (
            " AND id IN (SELECT run_id FROM searched_runs WHERE number IN"
            " (SELECT rowid FROM run_index WHERE run_index MATCH ?))"
        )
        values.append(pieces)
    return f"{sql} AND {_WANTED}({RUN_TEXT.format(row='runs')})", values


def experiments_where(where: Filter, connection: sqlite3.Connection) -> tuple[str, list[Any]]:
    """The same for a row of ``experiments``. Names are looked for in its record, what was said in
    the results of evaluations and in the record."""
    named = "EXISTS (SELECT 1 FROM json_tree(record) WHERE key = 'name' AND atom = ?)"
    conditions = [
        ("kind = ?", where.kind),
        (named, None if where.model is None else json.well_formed(where.model)),
        (named, None if where.prompt is None else json.well_formed(where.prompt)),
        ("created_at >= ?", None if where.since is None else comparable(where.since)),
        ("id IN (SELECT id FROM tags WHERE tag = ?)", where.tag),
        ("id < ?", where.before),
    ]
    given = [(sql, value) for sql, value in conditions if value is not None]
    sql = " AND ".join(["true", *(one for one, _ in given)])
    values: list[Any] = [value for _, value in given]
    pattern = where.pattern
    if pattern is None:
        return sql, values
    _define(connection, pattern)
    return f"{sql} AND {_SAID_IN_EXPERIMENT}", values


def _define(connection: sqlite3.Connection, pattern: re.Pattern[str]) -> None:
    connection.create_function(
        _WANTED, 1, lambda text: text is not None and pattern.search(text) is not None
    )


def _index_what_is_not(connection: sqlite3.Connection) -> bool:
    """Add runs to the index that were recorded before there was one; a portion at a time, so that
    others who record meanwhile do not wait for all of it. False: they cannot be added, as on a
    disk that is full or may not be written."""
    import sqlite3

    try:
        _index_the_rest(connection)
    except sqlite3.OperationalError:
        return False
    return True


def _index_the_rest(connection: sqlite3.Connection) -> None:
    while connection.execute(f"SELECT 1 {_MISSING} LIMIT 1").fetchone():
        with transaction(connection):
            (last,) = connection.execute("SELECT max(number) FROM searched_runs").fetchone()
            connection.execute(
                f"INSERT INTO searched_runs (run_id) SELECT id {_MISSING} LIMIT ?", (_AT_ONCE,)
            )
            connection.execute(_ADD_TO_INDEX.format(text=RUN_TEXT.format(row="runs")), (last or 0,))


def _index_query(pattern: str) -> str | None:
    """Which three-letter pieces a match has, for FTS5: those of one alternative or of another.
    None: that cannot be told of all of them.

    Only plain ASCII letters and digits that stand in every match in a row are used, as they are
    the same to the index and to the expression.
    """
    if "(" in pattern or "[" in pattern or "\\|" in pattern:
        return None
    either = [list(dict.fromkeys(_pieces_of(one))) for one in pattern.split("|")]
    if not all(either):
        return None
    return " OR ".join(
        "(" + " AND ".join(f'"{piece}"' for piece in pieces) + ")" for pieces in either
    )


def _pieces_of(pattern: str) -> Iterator[str]:
    for run in _plain_runs(pattern):
        for start in range(len(run) - _PIECE + 1):
            yield run[start : start + _PIECE]


def _plain_runs(pattern: str) -> list[str]:
    """Literal stretches outside of repetitions, of an expression without groups and classes."""
    runs: list[str] = []
    run, at = "", 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            if pattern[at + 1 : at + 2].isalnum():  # a class, a code, an earlier group
                return []
            runs, run, at = [*runs, run], "", at + 2
            continue
        if character in "?*{":  # the character before may be missing
            runs, run = [*runs, run[:-1]], ""
            if character == "{":
                at = max(at, pattern.find("}", at))
        elif character.isascii() and (character.isalnum() or character == " "):
            run += character
        else:
            runs, run = [*runs, run], ""
        at += 1
    return [*runs, run]
