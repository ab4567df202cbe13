"""The child that answers for the page: one open model at a time, one answer at a time.

    {"do": "answer", "cell": {…}}   →  {"is": "began"}, {"is": "opening"},
                                       {"is": "piece", "text": "…"} …,
                                       {"is": "answered", "record": "{…}"}

It opens a model when the first cell asks for it and keeps it while cells ask for the same. SIGINT
ends the answer that is being made, in the middle of the prefill, too, and nothing else; what there
was until then is recorded as interrupted. What a cell cannot do is told, and the next one is
answered all the same.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal

import msgspec

from localprompt.engine.base import NO_SHORTCUTS, Engine, Finished, Token
from localprompt.errors import HistoryError, LocalPromptError
from localprompt.processes import Failed, Parent, serve
from localprompt.records import json
from localprompt.records.cell import Cell
from localprompt.records.received import ReceivedPrompt
from localprompt.running.execute import Execution, Session, open_session, render
from localprompt.running.preview import receive
from localprompt.running.run import open_llama
from localprompt.store.history import History

How = Literal["", "forced", "drafted"]
"""How a piece of an answer was made: chosen step by step, put in because the constraint allowed
nothing else, or guessed and found right."""


class Answer(msgspec.Struct, frozen=True, tag_field="do", tag="answer"):
    """Answer a cell, and record it."""

    cell: Cell


class Explain(msgspec.Struct, frozen=True, tag_field="do", tag="explain"):
    """Say what the model receives, without running it."""

    cell: Cell


class Began(msgspec.Struct, frozen=True, tag_field="is", tag="began"):
    """From now on SIGINT ends the answer."""


class Opening(msgspec.Struct, frozen=True, tag_field="is", tag="opening"):
    """The model is being opened."""


class Piece(msgspec.Struct, frozen=True, tag_field="is", tag="piece"):
    text: str
    how: How = ""
    seconds: float | None = None
    """When the engine had it, on the clock that all processes of this machine share."""


class Answered(msgspec.Struct, frozen=True, tag_field="is", tag="answered"):
    record: str
    """A run record as JSON; stored in the history, too."""
    not_recorded: str | None = None
    """Why it is not."""
    failure: str | None = None
    """What ended the answer half-way."""


class Explained(msgspec.Struct, frozen=True, tag_field="is", tag="explained"):
    received: ReceivedPrompt


class NotAnswered(msgspec.Struct, frozen=True, tag_field="is", tag="not answered"):
    """Nothing was begun; the child goes on."""

    error: Failed


Command = Answer | Explain
Reply = Began | Opening | Piece | Answered | Explained | NotAnswered
OpenEngine = Callable[[Cell], Engine]


def main(open_engine: OpenEngine = open_llama) -> int:
    """Serve the parent on stdin and stdout; returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return serve(Command, lambda parent: answer(parent, open_engine))


def answer(parent: Parent[Command], open_engine: OpenEngine) -> None:
    """Answer until the parent wants no more."""
    with ExitStack() as held:
        models = held.enter_context(_OpenModel(open_engine))
        for command in parent.commands():
            try:
                reply: Reply = (
                    Explained(receive(command.cell))
                    if isinstance(command, Explain)
                    else _answered(command.cell, parent, models)
                )
            except LocalPromptError as error:
                models.close()
                reply = NotAnswered(Failed.of(error))
            except KeyboardInterrupt:
                models.close()
                reply = NotAnswered(Failed("stopped before the answer began"))
            parent.say(reply)


def _answered(cell: Cell, parent: Parent[Command], models: _OpenModel) -> Reply:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        parent.say(Began())
        rendered = render(cell)
        fresh = models.open_for(cell, rendered, lambda: parent.say(Opening()))
        pieces = _Pieces(parent)
        made = models.session.attempt(cell, rendered, pieces.text, pieces.event)
    finally:
        signal.signal(signal.SIGINT, before)
    if not fresh:  # the load belongs to the answer that it was made for
        timing = msgspec.structs.replace(made.record.timing, load_seconds=None)
        made = msgspec.structs.replace(
            made, record=msgspec.structs.replace(made.record, timing=timing)
        )
    if made.failure is not None:
        models.close()
    return Answered(
        json.encode(made.record).decode(),
        not_recorded=_recorded(made),
        failure=None if made.failure is None else made.failure.message,
    )


class _Pieces:
    """Hands on an answer with how it was made."""

    def __init__(self, parent: Parent[Command]) -> None:
        self._parent = parent
        self._before = NO_SHORTCUTS
        self._seconds: float | None = None
        self._how: How = ""

    def event(self, event: Token | Finished) -> None:
        now, before = event.shortcuts, self._before
        self._seconds, self._before = event.seconds, now
        self._how = (
            "forced"
            if now.forced > before.forced
            else "drafted"
            if now.accepted > before.accepted
            else ""
        )

    def text(self, text: str) -> None:
        self._parent.say(Piece(text, self._how, self._seconds))


def _recorded(made: Execution) -> str | None:
    try:
        with History() as history:
            history.record(made.record, made.samples)
    except HistoryError as error:
        return error.message
    return None


class _OpenModel:
    """The model that is open, and what it was opened with."""

    def __init__(self, open_engine: OpenEngine) -> None:
        self._open_engine = open_engine
        self._held = ExitStack()
        self._key: Any = None
        self.session: Session

    def open_for(self, cell: Cell, rendered: Any, opening: Callable[[], None]) -> bool:
        """See that the cell's model is open; whether it was opened now."""
        key = (cell.model, cell.chat_template, cell.settings)
        if key == self._key:
            return False
        self.close()
        opening()
        self.session = self._held.enter_context(open_session(cell, rendered, self._open_engine))
        self._key = key
        return True

    def close(self) -> None:
        self._key = None
        self._held.close()

    def __enter__(self) -> _OpenModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


if __name__ == "__main__":
    sys.exit(main())
