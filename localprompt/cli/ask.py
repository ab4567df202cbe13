"""``localprompt ask``: a prompt typed in place."""

from __future__ import annotations

from typing import Annotated

import typer

from localprompt.cli.options import RunFlags, takes

DETAILS = "The answer goes to stdout, its measurement to stderr."


@takes(RunFlags)
def command(
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="The prompt; stdin if it is left out.")
    ] = None,
    *,
    flags: RunFlags,
) -> None:
    """Ask a prompt typed in place, or given on stdin."""
    from localprompt.cli.answer import answer, choices
    from localprompt.cli.output import stdin_text
    from localprompt.running.assemble import ask_cell

    asked = text if text is not None else stdin_text() or ""
    answer(ask_cell(asked, choices(flags)), flags)
