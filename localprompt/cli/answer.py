"""What ``ask`` and ``run`` share: execute one cell, stream its answer, say what it took."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from localprompt.cli.options import RunFlags
from localprompt.errors import EXIT_INTERRUPTED
from localprompt.plan import Cell, SamplingChoices

if TYPE_CHECKING:
    from localprompt.assemble import RunChoices


def choices(flags: RunFlags, *, lenient: bool = False) -> RunChoices:
    """The flags as the rest of the package knows them."""
    from localprompt.assemble import RunChoices

    return RunChoices(
        model=flags.model,
        sampling=SamplingChoices(
            temperature=flags.temperature,
            top_k=flags.top_k,
            top_p=flags.top_p,
            min_p=flags.min_p,
            seed=flags.seed,
            max_tokens=flags.max_tokens,
            stop=tuple(flags.stop or ()),
        ),
        settings=flags.settings(),
        chat_template=flags.chat_template,
        lenient=lenient,
        force=flags.force,
    )


def answer(cell: Cell, flags: RunFlags) -> None:
    """Run the cell; the answer goes to stdout, everything else to stderr.

    Raises:
        typer.Exit: with 130 when the user interrupted, after the record was kept.
        BrokenPipeError: the reader of stdout went away; the record was kept.
    """
    from localprompt import record_json
    from localprompt.runner import run_one
    from localprompt.views.messages import print_error, print_note, print_warnings
    from localprompt.views.stream import AnswerStream
    from localprompt.views.summary import summary_lines

    stream = AnswerStream(sys.stdout)
    outcome = run_one(cell, log=not flags.no_log, on_text=None if flags.json else stream.write)
    record = outcome.execution.record
    if flags.json:
        stream.write(record_json.encode(record).decode())
    stream.finish()
    if not flags.quiet:
        print_note("\n".join(summary_lines(record)))
        print_warnings(record.warnings)
    if outcome.not_recorded is not None:
        print_note("the run was not recorded:")
        print_error(outcome.not_recorded)
    if stream.closed:
        raise BrokenPipeError
    if record.output.finish_reason == "interrupted":
        print_note("interrupted" if flags.no_log else "interrupted; the answer so far was kept")
        raise typer.Exit(EXIT_INTERRUPTED)
