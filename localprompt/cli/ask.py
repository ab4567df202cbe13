"""``localprompt ask``: a prompt typed in place, by itself or as the next turn of a conversation."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Annotated

import typer

from localprompt.cli.options import REFERENCE_HELP, RunFlags, takes

if TYPE_CHECKING:
    from collections.abc import Callable

    from localprompt.records.cell import Cell
    from localprompt.records.run import RunWarning
    from localprompt.running.assemble import RunChoices
    from localprompt.running.conversation import Conversation

    Notices = Callable[[Cell], tuple[RunWarning, ...]]

DETAILS = (
    "Text piped in on stdin is added after TEXT, or is the prompt. The answer goes to stdout, its "
    "measurement to stderr. In a shell's loop over a file, give it another stdin: < /dev/null."
)
EXAMPLES = (
    "localprompt ask 'Summarize this.' < notes.txt",
    "localprompt ask 'And in Portuguese?' --continue last",
    "localprompt ask -m qwen2.5-coder-0.5b --max-tokens 60 'Explain zip().'",
)

_REFERENCE = re.compile(r"last(?:~\d+)?(?:\s+[a-z]+)?|[0-9][0-9A-Za-z]{0,25}", re.ASCII)
"""What :mod:`localprompt.store.finding` takes: ids begin with a digit."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TalkFlags(RunFlags):
    """As for ``run``, and what belongs to conversations."""

    continue_: Annotated[
        str | None,
        typer.Option(
            "--continue",
            metavar="[ID]",
            help="Go on from a stored run of ask, run or chat; by default the last. "
            + REFERENCE_HELP,
        ),
    ] = None
    system: Annotated[
        str | None,
        typer.Option("--system", metavar="TEXT", help="System text for the model; empty: none."),
    ] = None


def with_last(argv: list[str]) -> list[str]:
    """The arguments with ``last`` behind a ``--continue`` that says no run."""
    completed: list[str] = []
    for at, argument in enumerate(argv):
        if argument == "--":
            return completed + argv[at:]
        completed.append(argument)
        said = argv[at + 1] if at + 1 < len(argv) else ""
        if argument == "--continue" and not _REFERENCE.fullmatch(said):
            completed.append("last")
    return completed


@takes(TalkFlags)
def command(
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="The prompt; text on stdin is added after it."),
    ] = None,
    *,
    flags: TalkFlags,
) -> None:
    """Ask a prompt typed in place, or given on stdin."""
    from localprompt.cli.answer import answer, choices
    from localprompt.cli.output import piped_text, stdin_text
    from localprompt.running.assemble import ask_cell

    if text is None:
        asked = stdin_text() or ""
    else:
        asked = "\n\n".join(part for part in (text, piped_text()) if part)
    chosen = choices(flags, continued=True)
    if flags.continue_ is None and flags.system is None:
        answer(ask_cell(asked, chosen), flags)
    else:
        answer(_turn(asked, chosen, flags), flags)


def _turn(text: str, chosen: RunChoices, flags: TalkFlags) -> Cell:
    import msgspec

    from localprompt.running.conversation import turn_cell

    talk, chosen, notices = resumed(flags, chosen)
    cell = turn_cell(talk, text, chosen)
    return msgspec.structs.replace(cell, notices=notices(cell))


def resumed(flags: TalkFlags, chosen: RunChoices) -> tuple[Conversation, RunChoices, Notices]:
    """The conversation that the flags mean, what was chosen for its next turn, and what of it is
    not as it was.

    Raises:
        LocalPromptError: there is no such run, it is not one to go on from, or its model is gone.
    """
    import msgspec

    from localprompt.running.conversation import (
        Conversation,
        changes,
        choices_of,
        conversation_of,
    )
    from localprompt.store.history import RUNS, History

    if flags.continue_ is None:
        return Conversation(system=flags.system), chosen, lambda cell: ()
    with History(read_only=True) as history:
        found = history.find(flags.continue_, RUNS)
        run = history.run(found.id)
    talk = msgspec.structs.replace(conversation_of(run), system=flags.system)
    return talk, choices_of(run, chosen), lambda cell: tuple(changes(run, cell))
