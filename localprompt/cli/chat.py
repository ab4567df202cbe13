"""``localprompt chat``: a conversation at the terminal, or with a script that pipes lines in."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from localprompt.cli.ask import TalkFlags
from localprompt.cli.options import LenientOption, ParamOption, takes
from localprompt.errors import EXIT_INTERRUPTED, EXIT_THRESHOLD, InputError, LocalPromptError

if TYPE_CHECKING:
    from localprompt.cli.chat_lines import Lines
    from localprompt.records.prompt import PromptTemplate
    from localprompt.records.run import RunRecord, RunWarning
    from localprompt.running.answer import OnText
    from localprompt.running.chat import Chat, Said

DETAILS = (
    "A line is a turn; one that ends in \\ goes on, and so does a text between lines of three "
    'quotes ("""). /help names the commands. Ctrl-C stops an answer, Ctrl-D ends. Without a '
    "terminal, the lines come from stdin."
)
EXAMPLES = (
    "localprompt chat -m qwen2.5-coder-0.5b",
    "localprompt chat --system 'Answer in one sentence.'",
    "localprompt chat --continue last",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChatFlags(TalkFlags):
    """As for ``ask``, and the parameters of a prompt file to begin with."""

    param: ParamOption = None
    lenient: LenientOption = False


@takes(ChatFlags)
def command(
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help="A prompt's name or file: the first turn."),
    ] = None,
    *,
    flags: ChatFlags,
) -> None:
    """Hold a conversation; each turn evaluates only what is new."""
    from localprompt.cli.answer import choices, explain
    from localprompt.cli.ask import resumed
    from localprompt.cli.chat_lines import lines_of
    from localprompt.running import watch
    from localprompt.running.chat import Chat
    from localprompt.running.conversation import turn_cell

    first = _first(prompt, flags)
    talk, chosen, notices = resumed(flags, choices(flags, lenient=flags.lenient))
    cell = turn_cell(talk, "?", chosen, chat=True)
    lines = lines_of(remember=not flags.no_log)
    watch.begin(lambda crash: explain(crash, cell, flags), reads_terminal=lines.interactive)
    with Chat(chosen, talk, log=not flags.no_log) as chat:
        screen = Screen(chat, lines, flags, notices(cell))
        screen.open()
        screen.run(first)


def _first(prompt: str | None, flags: ChatFlags) -> First | None:
    """The prompt file that the conversation begins with."""
    from localprompt.running.assemble import prompt_with_params

    if prompt is None:
        if flags.param:
            raise InputError("nothing has parameters here", where="-p", expected="PROMPT with it")
        return None
    taken = "--continue" if flags.continue_ is not None else "--system"
    if flags.continue_ is not None or flags.system is not None:
        raise InputError(
            "a prompt file begins a conversation and brings its own system text",
            where=f"PROMPT, {taken}",
            expected="one of them",
        )
    return prompt_with_params(prompt, flags.param or [], lambda: None)


if TYPE_CHECKING:
    First = tuple[PromptTemplate, dict[str, object]]


class Screen:
    """The conversation as a person has it: lines in, answers and what they took out.

    Where a person sits there, what goes wrong with a turn is said and the conversation goes on; a
    script gets the exit code.
    """

    def __init__(
        self, chat: Chat, lines: Lines, flags: ChatFlags, notices: tuple[RunWarning, ...]
    ) -> None:
        self.chat = chat
        self._lines = lines
        self._flags = flags
        self._notices = notices
        self._not_of_form = False

    def open(self) -> None:
        """Open the model and say who answers."""
        from localprompt.views.messages import print_note, print_warnings, profile_note

        cell = self.chat.open()
        if self._flags.quiet:
            return
        print_warnings(self._notices)
        if cell.profile is not None:
            print_note(profile_note(cell.profile, cell.model.name))
        if self._lines.interactive:
            count = len(self.chat.talk.turns)
            before = f", after {count} turn{'' if count == 1 else 's'}" if count else ""
            print_note(f"{cell.model.name}{before}. /help names commands, Ctrl-D ends.")

    def run(self, first: First | None) -> None:
        """Until the lines end.

        Raises:
            typer.Exit: with 130 where a script was interrupted; with 1 where an answer of it was
                not of the form that was asked for.
            LocalPromptError: what a script cannot go on after.
        """
        from localprompt.cli.chat_commands import obey

        if first is not None:
            template, params = first
            self.turn(lambda on_text: self.chat.begin(template, params, on_text))
        for line in self._lines:
            if not line.strip():
                continue
            try:
                if not line.startswith("/"):
                    self.say(line)
                elif not obey(line, self):
                    break
            except LocalPromptError as error:
                self._told(error)
        if self._not_of_form and not self._lines.interactive:
            raise typer.Exit(EXIT_THRESHOLD)

    def say(self, text: str) -> None:
        self.turn(lambda on_text: self.chat.say(text, on_text, notices=self._notices))

    def turn(self, ask: Callable[[OnText | None], Said]) -> None:
        """One answer; what it was recorded as, and what it took."""
        from localprompt.views.messages import print_note
        from localprompt.views.stream import AnswerStream

        stream = AnswerStream(sys.stdout)
        try:
            said = ask(None if self._flags.json else stream.write)
        except KeyboardInterrupt:
            self.chat.close()  # wherever it was, nothing there is relied on
            self._stopped("stopped before the first word")
            return
        except LocalPromptError as error:
            self._told(error)
            return
        if self._flags.json:
            self._print_record(stream, said.record)
        stream.finish()
        if stream.failure is not None:
            raise BrokenPipeError
        self._report(said)
        self._notices = ()
        if said.record.output.finish_reason == "interrupted":
            self._stopped("stopped; what was answered stays in the conversation")
        elif not said.record.output.text and not self._flags.quiet:
            print_note("no answer: this turn is not part of the conversation")

    def _report(self, said: Said) -> None:
        from localprompt.running.answer_checks import NOT_PARSED
        from localprompt.views.messages import print_error, print_note, print_warnings
        from localprompt.views.summary import turn_line

        record = said.record
        if not self._flags.quiet:
            print_note(turn_line(record))
            print_warnings(one for one in record.warnings if one not in self._notices)
            self._tell_if_filled()
        if said.not_recorded is not None:
            print_note("the turn was not recorded:")
            print_error(said.not_recorded)
        if said.failure is not None:
            self._told(said.failure)
        self._not_of_form |= any(warning.code == NOT_PARSED for warning in record.warnings)

    def _tell_if_filled(self) -> None:
        from localprompt.views.messages import print_note

        used, most = self.chat.filled()
        if most is not None and used >= _NEARLY_FULL * most:
            print_note(
                f"{used:,} of {most:,} tokens: the conversation will soon not fit. /undo takes "
                "turns back, /save keeps it as a prompt, a new chat begins anew."
            )

    def _print_record(self, stream: object, record: RunRecord) -> None:
        from localprompt.records import json

        with suppress(BrokenPipeError):
            stream.write(json.encode(record).decode())  # type: ignore[attr-defined]

    def _stopped(self, said: str) -> None:
        from localprompt.views.messages import print_note

        if self._lines.interactive:
            print_note(said)
            return
        print_note("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED)

    def _told(self, error: LocalPromptError) -> None:
        from localprompt.views.messages import print_error

        if not self._lines.interactive:
            raise error
        print_error(error)


_NEARLY_FULL = 0.85
"""The share of the context from which on a note says how full it is."""
