"""A conversation with a model that stays open: each turn evaluates only what is new.

    with Chat(choices) as chat:
        chat.open()                        # the weights; else the first turn opens them
        said = chat.say("Hello.", on_text)
        chat.undo()

Whoever has a terminal or a page stands on the other side; nothing here prints. A turn that was
interrupted counts with what was answered until then, and one that brought no word is not part of
the conversation, though the history knows of it.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec

from localprompt.errors import HistoryError, LocalPromptError, ModelFileError
from localprompt.models.inspect import inspect_model
from localprompt.records.cell import Cell
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import RunRecord, RunWarning
from localprompt.running.answer import OnText
from localprompt.running.assemble import RunChoices
from localprompt.running.conversation import Conversation, first_cell, retry_cell, turn_cell
from localprompt.running.execute import OpenEngine, Session, open_session, render
from localprompt.running.run import open_llama, record_run


class Said(msgspec.Struct, frozen=True):
    """What came of a turn."""

    record: RunRecord
    failure: LocalPromptError | None = None
    """What ended it half-way."""
    not_recorded: HistoryError | None = None
    """Why it is not in the history, if it should be."""


class Chat:
    """One conversation, and the model that answers.

    Args:
        choices: model, sampling and settings of each turn.
        talk: what was said before.
        log: False records nothing; then no state is kept on disk either.
    """

    def __init__(
        self,
        choices: RunChoices,
        talk: Conversation | None = None,
        *,
        log: bool = True,
        open_engine: OpenEngine = open_llama,
    ) -> None:
        kept = log and choices.prefix == "kept"
        self.choices = msgspec.structs.replace(choices, after="keep" if kept else "hold")
        self.talk = talk or Conversation()
        self.last: RunRecord | None = None
        """The last turn's record."""
        self._log = log
        self._open_engine = open_engine
        self._held = ExitStack()
        self._session: Session | None = None
        self._key: Any = None
        self._fresh = False

    def open(self) -> Cell:
        """Open the weights, so that the first turn does not wait for them.

        Returns:
            a cell as the turns will be: model, settings, profile.

        Raises:
            LocalPromptError: the model is not available, or does not fit.
        """
        cell = turn_cell(self.talk, "?", self.choices, chat=True)
        self._open_for(cell)
        return cell

    def say(
        self, text: str, on_text: OnText | None = None, *, notices: tuple[RunWarning, ...] = ()
    ) -> Said:
        """The next turn.

        Args:
            notices: what its record is to say besides.

        Raises:
            InputError: the text is empty.
            ContextOverflowError: the conversation has grown longer than the context.
            LocalPromptError: it could not begin. The conversation is as it was.
        """
        cell = turn_cell(self.talk, text, self.choices, chat=True)
        return self._turn(msgspec.structs.replace(cell, notices=notices), self.talk, on_text)

    def begin(
        self, template: PromptTemplate, params: dict[str, Any], on_text: OnText | None = None
    ) -> Said:
        """The first turn, from a prompt file; raises as :meth:`say`."""
        return self._turn(first_cell(self.talk, template, params, self.choices), self.talk, on_text)

    def retry(self, on_text: OnText | None = None, *, temperature: float | None = None) -> Said:
        """Ask the last question again; its answer is replaced once another has begun.

        Args:
            temperature: of this answer, with another seed than the last; None: as before.

        Raises:
            InputError: nothing was asked yet.
            as :meth:`say`.
        """
        talk, cell = retry_cell(self.talk, self.choices)
        if temperature is not None:
            seed = self.last.sampling.seed + 1 if self.last else cell.sampling.seed
            sampling = msgspec.structs.replace(cell.sampling, temperature=temperature, seed=seed)
            cell = msgspec.structs.replace(cell, sampling=sampling)
        return self._turn(cell, talk, on_text)

    def undo(self) -> bool:
        """Take the last turn back; False: there is none."""
        before, self.talk = self.talk, self.talk.undone()
        return before.turns != self.talk.turns

    def use_system(self, text: str) -> None:
        """Another system text from the next turn on; empty: none."""
        self.talk = msgspec.structs.replace(self.talk, system=text)

    def use_model(self, model: str) -> Cell:
        """Let another model go on.

        Raises:
            LocalPromptError: it is not available, or does not fit; the one before goes on, and is
                opened again where it had to make room.
        """
        before = self.choices
        self.choices = msgspec.structs.replace(before, model=model)
        try:
            return self.open()
        except BaseException:
            self.choices = before
            raise

    def filled(self) -> tuple[int, int | None]:
        """Tokens of the conversation as far as it was evaluated, and the most that fit; None:
        unknown."""
        if self.last is None:
            return 0, None
        tokens, most = self.last.tokens, self.choices.settings.n_ctx
        if most is None:
            with suppress(ModelFileError):
                most = inspect_model(Path(self.last.model.path)).n_ctx_train
        return tokens.prompt + tokens.completion, most

    def close(self) -> None:
        self._key, self._session = None, None
        self._held.close()

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _turn(self, cell: Cell, talk: Conversation, on_text: OnText | None) -> Said:
        session = self._open_for(cell)
        made = session.attempt(cell, render(cell), on_text)
        record = made.record
        if not self._fresh:  # the load belongs to the turn that it was made for
            timing = msgspec.structs.replace(record.timing, load_seconds=None)
            record = msgspec.structs.replace(record, timing=timing)
        self._fresh = False
        if made.failure is not None:
            self.close()
        if record.output.text:
            self.talk, self.last = talk.answered(record), record
        not_recorded = record_run(record, made.samples) if self._log else None
        return Said(record, made.failure, not_recorded)

    def _open_for(self, cell: Cell) -> Session:
        key = (cell.model, cell.chat_template, cell.settings)
        if self._session is None or key != self._key:
            self.close()
            session = self._held.enter_context(open_session(cell, render(cell), self._open_engine))
            self._session, self._key, self._fresh = session, key, True
        return self._session
