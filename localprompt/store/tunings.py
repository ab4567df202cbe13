"""Keeping what has no runs of its own: measurements of quality, and tunings.

with TuningStore() as store:
    store.keep(quality)
    store.keep(tuning)          # again when it has come further: the same id, the newer record
    store.kept("01M8")
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

import msgspec

from localprompt import paths
from localprompt.errors import HistoryError
from localprompt.records import json
from localprompt.records.quality import Quality
from localprompt.records.tuning import Tuning
from localprompt.store.connection import (
    BUSY_SECONDS,
    empty_history,
    explained,
    open_history,
    transaction,
)

_KEEP = """
INSERT INTO experiments (id, record) VALUES (?, ?)
ON CONFLICT (id) DO UPDATE SET record = excluded.record"""
_KEPT = """
SELECT kind, record FROM experiments
WHERE kind IN ('quality', 'tune') AND substr(id, 1, length(?1)) = ?1 LIMIT 2"""


class TuningStore:
    """An open history; close it, or use it as a context manager.

    Args:
        path: the database; by default ``history.db`` in ``$LOCALPROMPT_HOME``.
        read_only: a history that does not exist is then an empty one and is not made.

    Raises:
        HistoryError: it cannot be opened; any method may raise it as well.
    """

    def __init__(self, path: Path | None = None, *, read_only: bool = False) -> None:
        self.path = paths.history_path() if path is None else path
        self._open = ExitStack()
        with explained(self.path):
            empty = read_only and not self.path.exists()
        self._connection = self._open.enter_context(
            empty_history() if empty else open_history(self.path, BUSY_SECONDS)
        )

    def keep(self, record: Quality | Tuning) -> None:
        """Add a record, or put it in the place of the one with its id."""
        with explained(self.path), transaction(self._connection):
            self._connection.execute(_KEEP, (record.id, json.encode(record).decode()))

    def kept(self, reference: str) -> Quality | Tuning | None:
        """The record whose id begins so; None: there is none, or more than one."""
        name = reference.strip().upper()
        with explained(self.path):
            rows = self._connection.execute(_KEPT, (name,)).fetchall() if name else []
        if len(rows) != 1:
            return None
        kind, record = rows[0]
        try:
            if kind == "quality":
                return msgspec.json.decode(record, type=Quality)
            return msgspec.json.decode(record, type=Tuning)
        except msgspec.DecodeError as error:
            raise HistoryError(
                f"the record of kind {kind!r} cannot be read",
                where=str(self.path),
                found=str(error),
                next_step="if a newer localprompt wrote it, update",
            ) from error

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
