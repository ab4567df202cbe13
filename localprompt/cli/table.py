"""``localprompt run --each``: a prompt over the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from localprompt.cli.answer import choices
from localprompt.cli.options import RunFlags
from localprompt.cli.output import unwritable
from localprompt.errors import EXIT_INTERRUPTED, EXIT_THRESHOLD, InputError
from localprompt.views.stream import data_out


def answer_each(
    prompt: str,
    assignments: Sequence[str],
    rows: Path,
    to: Path | None,
    flags: RunFlags,
    *,
    lenient: bool,
) -> None:
    """Answer every row; the table goes to ``to`` or stdout, everything else to stderr.

    Raises:
        typer.Exit: with 130 when the user interrupted; with 1 when a row has an error.
        InputError: an option that is about one answer.
        LocalPromptError: the prompt, the table or the model cannot be used.
    """
    from localprompt.evaluate.table import open_table, run_table
    from localprompt.running.assemble import run_cell
    from localprompt.sources.prompt.params import parse_params
    from localprompt.sources.prompt.search import load_named_prompt
    from localprompt.views.messages import print_note
    from localprompt.views.progress import rows_progress

    for option, given in (
        ("--json", flags.json),
        ("--complete-json", flags.complete_json),
        ("--json-lines", flags.json_lines),
    ):
        if given:
            raise InputError("not for tables", where=option, next_step="--to FILE.csv")
    template = load_named_prompt(prompt)
    params = parse_params(assignments, template)
    table = open_table(run_cell(template, params, choices(flags, lenient=lenient)), rows)
    try:
        with rows_progress(quiet=flags.quiet) as on_row:
            done = run_table(table, to, data_out(), on_row=on_row)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(error, str(to) if to else "stdout") from error
    if not flags.quiet:
        before = f", {done.before} of them before" if done.before else ""
        wrong = f"; {done.errors} with an error" if done.errors else ""
        print_note(f"{done.rows} rows{before}{wrong}" + (f" → {to}" if to else ""))
    if done.interrupted:
        print_note("interrupted; run the same command to continue" if to else "interrupted")
        raise typer.Exit(EXIT_INTERRUPTED)
    if done.errors:
        raise typer.Exit(EXIT_THRESHOLD)
