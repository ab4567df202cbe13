"""Keeping what has no runs of its own: measurements of quality, and tunings.

with TuningStore() as store:
    store.keep(quality)
    store.keep(tuning)          # again when it has come further: the same id, the newer record
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

from localprompt import home, record_json
from localprompt.qualities import Quality
from localprompt.store.connection import BUSY_SECONDS, explained, open_history, transaction
from localprompt.tunings import Tuning

_KEEP = """
INSERT INTO experiments (id, record) VALUES (?, ?)
ON CONFLICT (id) DO UPDATE SET record = excluded.record"""


class TuningStore:
    """An open history; close it, or use it as a context manager.

    Args:
        path: the database; by default ``history.db`` in ``$LOCALPROMPT_HOME``.

    Raises:
        HistoryError: it cannot be opened; any method may raise it as well.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = home.history_path() if path is None else path
        self._open = ExitStack()
        self._connection = self._open.enter_context(open_history(self.path, BUSY_SECONDS))

    def keep(self, record: Quality | Tuning) -> None:
        """Add a record, or put it in the place of the one with its id."""
        with explained(self.path), transaction(self._connection):
            self._connection.execute(_KEEP, (record.id, record_json.encode(record).decode()))

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
