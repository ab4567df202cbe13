"""``localprompt ask``: a prompt typed in place."""

from __future__ import annotations

from typing import Annotated

import typer

from localprompt.cli.options import RunFlags, takes

DETAILS = (
    "Text piped in on stdin is added after TEXT, or is the prompt. The answer goes to stdout, its "
    "measurement to stderr. In a shell's loop over a file, give it another stdin: < /dev/null."
)


@takes(RunFlags)
def command(
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="The prompt; text on stdin is added after it."),
    ] = None,
    *,
    flags: RunFlags,
) -> None:
    """Ask a prompt typed in place, or given on stdin."""
    from localprompt.cli.answer import answer, choices
    from localprompt.cli.output import piped_text, stdin_text
    from localprompt.running.assemble import ask_cell

    if text is None:
        asked = stdin_text() or ""
    else:
        asked = "\n\n".join(part for part in (text, piped_text()) if part)
    answer(ask_cell(asked, choices(flags)), flags)
