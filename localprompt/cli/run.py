"""``localprompt run``: a prompt file with its parameters."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localprompt.cli.options import (
    REFERENCE_HELP,
    LenientOption,
    ParamOption,
    RunFlags,
    takes,
)
from localprompt.errors import InputError

if TYPE_CHECKING:
    from localprompt.records.cell import Cell

DETAILS = (
    "A required text that is not given with -p is read from stdin. The answer goes to stdout, "
    "its measurement to stderr."
)
EXAMPLES = (
    "localprompt run summarize -p text=@notes.txt",
    "localprompt run classify-sentiment --each reviews.csv --to answers.csv",
    "localprompt run --again last -m qwen2.5-coder-0.5b",
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
    again: Annotated[
        str | None,
        typer.Option(
            "--again",
            metavar="ID",
            help="The prompt, parameters, model and sampling of a stored run; options given "
            "with it override them. " + REFERENCE_HELP,
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
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="A prompt's name or file.")
    ] = None,
    *,
    flags: PromptFlags,
) -> None:
    """Run a prompt file with its parameters, or a stored run again."""
    from localprompt.cli.answer import answer, choices
    from localprompt.cli.output import stdin_text
    from localprompt.running.assemble import prompt_with_params, run_cell

    if (prompt is None) == (flags.again is None):
        raise InputError(
            "nothing to run" if prompt is None else "--again already has a prompt",
            expected="a prompt, or --again ID",
            next_step="localprompt prompts list",
        )
    if flags.again is not None:
        answer(_again(flags.again, flags), flags)
        return
    if prompt is None:  # never
        return
    if flags.each is not None:
        from localprompt.cli.table import answer_each

        answer_each(prompt, flags.param or [], flags.each, flags.to, flags, lenient=flags.lenient)
        return
    if flags.to is not None:
        raise InputError("--to is for tables", where="--to", expected="--each ROWS with it")
    template, params = prompt_with_params(prompt, flags.param or [], stdin_text)
    chosen = choices(flags, lenient=flags.lenient, continued=True)
    answer(run_cell(template, params, chosen), flags)


def _again(reference: str, flags: PromptFlags) -> Cell:
    """The cell of a stored run, with what the user gives in its place.

    Raises:
        LocalPromptError: there is no such run, or its prompt or model is gone.
    """
    from localprompt.cli.answer import choices
    from localprompt.running.again import again_cell, prompt_of
    from localprompt.sources.prompt.params import parse_params
    from localprompt.store.history import RUNS, History

    if flags.each is not None or flags.to is not None:
        raise InputError("one run, not a table", where="--again", found="--each or --to")
    with History(read_only=True) as history:
        run = history.run(history.find(reference, RUNS).id)
    template, _ = prompt_of(run, {})
    params = parse_params(flags.param or [], template)
    return again_cell(run, params, choices(flags, lenient=flags.lenient, continued=True))
