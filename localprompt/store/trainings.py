"""Fine-tunings in the history: each is a row of ``experiments``, complete when it is written."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

import msgspec

from localprompt import paths
from localprompt.errors import HistoryError
from localprompt.records import json
from localprompt.records.training import TrainingResult
from localprompt.store.connection import BUSY_SECONDS, explained, open_history, transaction


class TrainingStore:
    """An open history, for trainings; close it, or use it as a context manager.

    Args:
        path: the database; by default ``history.db`` in ``$LOCALPROMPT_HOME``.

    Raises:
        HistoryError: it cannot be opened or made.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = paths.history_path() if path is None else path
        self._open = ExitStack()
        self._connection = self._open.enter_context(open_history(self.path, BUSY_SECONDS))

    def record(self, result: TrainingResult) -> None:
        """Add a training.

        Raises:
            HistoryError: it was not stored.
        """
        with explained(self.path), transaction(self._connection):
            self._connection.execute(
                "INSERT INTO experiments (id, record) VALUES (?, ?)",
                (result.id, json.encode(result).decode()),
            )

    def trainings(self, *, limit: int | None = None) -> list[TrainingResult]:
        """Newest first.

        Raises:
            HistoryError: one cannot be read.
        """
        query = "SELECT record FROM experiments WHERE kind = 'finetune' ORDER BY id DESC LIMIT ?"
        with explained(self.path):
            rows = self._connection.execute(query, (-1 if limit is None else limit,)).fetchall()
        return [self._decoded(record) for (record,) in rows]

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decoded(self, record: str) -> TrainingResult:
        try:
            return msgspec.json.decode(record, type=TrainingResult)
        except msgspec.DecodeError as error:
            raise HistoryError(
                "the record of a training cannot be read",
                where=str(self.path),
                found=str(error),
                next_step="if a newer localprompt wrote it, update",
            ) from error
