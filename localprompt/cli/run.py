"""``localprompt run``: a prompt file with its parameters."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from localprompt.cli.options import LenientOption, ParamOption, RunFlags, takes
from localprompt.errors import InputError

DETAILS = (
    "A required text that is not given with -p is read from stdin. The answer goes to stdout, "
    "its measurement to stderr."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptFlags(RunFlags):
    """As for ``ask``, and what only prompt files need."""

    param: ParamOption = None
    lenient: LenientOption = False
    each: Annotated[
        Path | None,
        typer.Option(
            "--each",
            metavar="ROWS",
            help="Run once for each row of a csv, jsonl, json or yaml file; columns are values.",
        ),
    ] = None
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="CSV",
            help="With --each: rows and answers; goes on where it was cut off. Else stdout.",
        ),
    ] = None


@takes(PromptFlags)
def command(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="A prompt's name or file.")],
    *,
    flags: PromptFlags,
) -> None:
    """Run a prompt file with its parameters."""
    from localprompt.cli.answer import answer, choices
    from localprompt.cli.output import stdin_text
    from localprompt.running.assemble import prompt_with_params, run_cell

    if flags.each is not None:
        from localprompt.cli.table import answer_each

        answer_each(prompt, flags.param or [], flags.each, flags.to, flags, lenient=flags.lenient)
        return
    if flags.to is not None:
        raise InputError("--to is for tables", where="--to", expected="--each ROWS beside it")
    template, params = prompt_with_params(prompt, flags.param or [], stdin_text)
    answer(run_cell(template, params, choices(flags, lenient=flags.lenient)), flags)
