"""A conversation: what was said, by which runs, and the cell of the next turn.

    talk = conversation_of(run)                            # a stored run, with all turns before it
    choices = choices_of(run, choices)                     # its model and sampling, unless typed
    cell = turn_cell(talk, "And in Portuguese?", choices)  # what is to be executed
    talk = talk.answered(record)                           # what came of it
    talk = talk.undone()                                   # without the last turn
    talk = talk.up_to(run_id)                              # a branch: as it was after that run
    talk, cell = retry_cell(talk, choices)                 # the last question once more

Conversations are values: undoing one, or going on from an earlier turn, leaves the other as it was.
Each turn is a run in the history. Its record names the runs before it and holds their text, so that
a conversation goes on from its last run alone, whatever was forgotten since.

Nothing here knows of states: a turn's prompt goes on from the longest beginning whose state is
there, in the open context or on disk (:mod:`localprompt.running.prefix.turns`), which is the turn
before where there was one. ``choices.after`` says whether the state after this turn is to be there
for the next. :mod:`localprompt.running.chat` holds a model open for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from localprompt.errors import InputError, ModelFileError, ModelMissingError, UnknownNameError
from localprompt.models.inspect import inspect_model
from localprompt.models.resolve import resolve
from localprompt.records.cell import Cell, SamplingChoices
from localprompt.records.prompt import Message, PromptTemplate, Segment
from localprompt.records.run import ConversationPlace, RunRecord, RunWarning
from localprompt.running.again import called, chosen_sampling, with_adapters
from localprompt.running.assemble import RunChoices, ask_cell, run_cell
from localprompt.store.history import RUNS

ANSWER = "answer"
"""The source of an answer's text: like a value, it never becomes a control token."""
SYSTEM = "system"
_SYSTEM_ROLES = ("system", "developer")


class Turn(msgspec.Struct, frozen=True):
    """A question and its answer."""

    asked: tuple[Message, ...]
    """What was added to the conversation: one message, or a prompt file's."""
    answer: str
    run: str
    """The id of the run."""

    @property
    def text(self) -> str:
        """What the user said last in it."""
        return self.asked[-1].text if self.asked else ""


class Conversation(msgspec.Struct, frozen=True):
    """Turns, the oldest first."""

    turns: tuple[Turn, ...] = ()
    system: str | None = None
    """In the place of the system text that the first turn brought, if any; empty: without one."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """All that was said, as the next prompt begins."""
        said = tuple(message for turn in self.turns for message in _both(turn))
        return self._with_system(said)

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(turn.run for turn in self.turns)

    def undone(self) -> Conversation:
        """Without the last turn; as it is where there is none."""
        return msgspec.structs.replace(self, turns=self.turns[:-1])

    def answered(self, record: RunRecord) -> Conversation:
        """With the turn that a run made of it; as it is where nothing was answered."""
        if not record.output.text:
            return self
        asked = record.prompt.messages[len(self.messages) :]
        turn = Turn(asked, record.output.text, record.id)
        return msgspec.structs.replace(self, turns=(*self.turns, turn))

    def _with_system(self, said: tuple[Message, ...]) -> tuple[Message, ...]:
        if self.system is None:
            return said
        rest = list(said)
        while rest and rest[0].role in _SYSTEM_ROLES:
            rest.pop(0)
        if not self.system:
            return tuple(rest)
        return (Message("system", (Segment(self.system, SYSTEM),)), *rest)


def _both(turn: Turn) -> Iterator[Message]:
    yield from turn.asked
    yield Message("assistant", (Segment(turn.answer, ANSWER),))


def conversation_of(run: RunRecord) -> Conversation:
    """A stored run with all turns before it.

    Raises:
        InputError: it is a repetition of a bench or the like, or there is no answer to go on from.
    """
    if run.kind not in RUNS:
        raise InputError(
            f"a run of {run.kind} is not a conversation",
            where=run.id,
            expected="a run of ask, run or chat",
        )
    if not run.output.text:
        raise InputError(
            "this run has no answer to go on from",
            where=run.id,
            found=run.output.finish_reason,
            next_step=f"localprompt run --again {run.id}",
        )
    messages = run.prompt.messages
    earlier = run.conversation.turns if run.conversation else ()
    turns: list[Turn] = []
    answer = run.output.text
    for made_by in (run.id, *reversed(earlier)):
        first = len(turns) == len(earlier)
        asked = messages if first else messages[-1:]
        turns.append(Turn(asked, answer, made_by))
        if not first:
            answer, messages = messages[-2].text, messages[:-2]
    return Conversation(tuple(reversed(turns)))


def turn_cell(talk: Conversation, text: str, choices: RunChoices, *, chat: bool = False) -> Cell:
    """The cell of the next turn.

    Args:
        chat: a turn of ``chat``; else of ``ask``.

    Raises:
        InputError: the text is empty.
        LocalPromptError: the model is not available.
    """
    return _placed(talk, ask_cell(text, choices), chat=chat)


def first_cell(
    talk: Conversation, template: PromptTemplate, params: dict[str, Any], choices: RunChoices
) -> Cell:
    """The cell of a prompt file that a chat begins with.

    Raises:
        LocalPromptError: the model is not available.
    """
    return _placed(talk, run_cell(template, params, choices), chat=True)


def _placed(talk: Conversation, cell: Cell, *, chat: bool) -> Cell:
    before = talk.messages
    return msgspec.structs.replace(
        cell,
        kind="chat" if chat else "ask",
        before=before,
        conversation=ConversationPlace(talk.runs) if before or chat else None,
    )


def retry_cell(talk: Conversation, choices: RunChoices) -> tuple[Conversation, Cell]:
    """The conversation without its last turn, and the cell that asks it once more.

    Raises:
        InputError: there is no turn yet.
        LocalPromptError: the model is not available.
    """
    if not talk.turns:
        raise InputError("nothing was asked yet", expected="a turn to ask again")
    last, talk = talk.turns[-1], talk.undone()
    cell = turn_cell(talk, last.text, choices, chat=True)
    lead = last.asked[:-1]
    if talk.system is not None and not talk.turns:
        lead = tuple(message for message in lead if message.role not in _SYSTEM_ROLES)
    return talk, msgspec.structs.replace(cell, before=(*cell.before, *lead))


def choices_of(run: RunRecord, choices: RunChoices) -> RunChoices:
    """What was chosen, and for the rest the model and the sampling of the run that is gone on from.

    Raises:
        ModelMissingError: its model is gone, and no other was chosen.
    """
    sampling = chosen_sampling(run.sampling, choices.sampling)
    fields = SamplingChoices.__struct_fields__
    return msgspec.structs.replace(
        with_adapters(run, choices, choices.model or _model_of(run)),
        sampling=SamplingChoices(**{name: getattr(sampling, name) for name in fields}),
    )


def _model_of(run: RunRecord) -> str:
    name = called(run)
    another = f"--continue {run.id} -m MODEL goes on with another"
    try:
        found = resolve(name)
    except (UnknownNameError, ModelMissingError) as error:
        raise ModelMissingError(
            "the model of this conversation is gone",
            where=run.id,
            expected=f"{run.model.name} ({run.model.path})",
            next_step=another,
        ) from error
    if not found.path.exists():
        raise ModelMissingError(
            "the weights of this conversation's model are gone",
            where=str(found.path),
            next_step=f"localprompt models pull {run.model.name}, or {another}",
        )
    return name


def changes(run: RunRecord, cell: Cell) -> Iterator[RunWarning]:
    """What is not as it was when the run that a cell goes on from was made."""
    before, now = run.model, cell.model
    if (
        before.name == now.name
        and None not in (before.sha256, now.sha256)
        and (before.sha256 != now.sha256)
    ):
        yield RunWarning(
            "model_changed",
            f"{now.name} has other weights than when {run.id} was answered",
            "the conversation is read again from its text",
        )
    if run.prompt.path and run.prompt.sha256:
        found = _sha256(Path(run.prompt.path))
        if found != run.prompt.sha256:
            yield RunWarning(
                "prompt_changed",
                f"{run.prompt.path} {'has changed' if found else 'is gone'} since {run.id}",
                "the conversation goes on as it was recorded",
            )
    template = _chat_template_sha256(cell)
    if before.name == now.name and template != run.prompt.chat_template_sha256:
        yield RunWarning(
            "chat_template_changed",
            f"the chat template is not the one that {run.id} was asked with",
            "--chat-template FILE, if it was given then",
        )


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _chat_template_sha256(cell: Cell) -> str | None:
    text = cell.chat_template
    if text is None:
        try:
            text = inspect_model(Path(cell.model.path)).chat_template
        except ModelFileError:
            return None
    return hashlib.sha256(text.encode()).hexdigest() if text else None
