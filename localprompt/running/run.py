"""Cells → engine → store: the stage that makes things happen and keeps what happened.

``ask`` and ``run`` come through :func:`run_one`: the cell is executed in this process and its
record is stored in one transaction. An answer is never lost to a history that cannot be written:
what went wrong there is handed back beside the answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from localprompt.engine.constraints.prompts import constraint_of
from localprompt.errors import HistoryError
from localprompt.models.predict import with_mapping_decided
from localprompt.records.cell import Cell
from localprompt.records.run import RunRecord, Samples
from localprompt.running.answer import OnText
from localprompt.running.attention import OnNote
from localprompt.running.execute import Execution, execute

if TYPE_CHECKING:
    from localprompt.engine.base import Engine


class Outcome(msgspec.Struct, frozen=True):
    """A cell's execution, and why it is not in the history if it should be."""

    execution: Execution
    not_recorded: HistoryError | None = None


def open_llama(cell: Cell) -> Engine:
    """The engine for real models."""
    from localprompt.engine.llama.engine import LlamaEngine

    path = Path(cell.model.path)
    return LlamaEngine(
        path,
        with_mapping_decided(cell.settings, path),
        chat_template=cell.chat_template,
        prove=not cell.force,
        model_sha256=cell.model.sha256,
        constrained=constraint_of(cell.template) is not None,
    )


def run_one(
    cell: Cell,
    *,
    log: bool = True,
    on_text: OnText | None = None,
    on_note: OnNote = lambda _: None,
) -> Outcome:
    """Execute a cell in this process and record it.

    Args:
        log: False records nothing and does not touch the history.
        on_text: called with each piece of the answer as it becomes certain.
        on_note: told what a user has to wait for, beside the model and its answer.

    Raises:
        LocalPromptError: as :func:`localprompt.running.execute.execute` does.
    """
    execution = execute(cell, open_llama, on_text, on_note)
    if not log:
        return Outcome(execution)
    return Outcome(execution, record_run(execution.record, execution.samples))


def record_run(record: RunRecord, samples: Samples | None = None) -> HistoryError | None:
    """Add a run to the history; what went wrong there is handed back."""
    from localprompt.store.history import History

    try:
        with History() as history:
            history.record(record, samples)
    except HistoryError as error:
        return error
    return None
