"""What ``ask`` and ``run`` share: execute one cell, stream its answer, say what it took."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from localprompt.cli.options import RunFlags
from localprompt.cli.output import unwritable
from localprompt.errors import EXIT_INTERRUPTED, EXIT_THRESHOLD, InputError
from localprompt.records.cell import Cell
from localprompt.units import parse_bytes

if TYPE_CHECKING:
    from localprompt.running.assemble import RunChoices
    from localprompt.running.run import Outcome
    from localprompt.running.watch import Crash


def choices(flags: RunFlags, *, lenient: bool = False, continued: bool = False) -> RunChoices:
    """The flags as the rest of the package knows them.

    Args:
        continued: somebody may go on from the answer; where nothing is recorded nobody can.
    """
    from localprompt.running.assemble import RunChoices
    from localprompt.running.form import answer_form

    return RunChoices(
        model=flags.model,
        usual=_usual_model(),
        sampling=flags.sampling(),
        settings=flags.settings(),
        given=tuple(flags.given()),
        profile=flags.profile or "default",
        chat_template=flags.chat_template,
        lenient=lenient,
        force=flags.force,
        max_memory_bytes=_size("--max-memory", flags.max_memory),
        prefix="kept" if flags.prefix_store else "apart",
        after="keep" if continued and flags.prefix_store and not flags.no_log else "forget",
        form=answer_form(
            flags.schema,
            flags.grammar,
            strict=flags.strict_schema,
            complete_json=flags.complete_json,
            lines=flags.json_lines,
        ),
    )


def _usual_model() -> str:
    from localprompt.models.cards import DEFAULT_MODEL
    from localprompt.sources.config import is_set, read_config

    return (read_config().model if is_set() else None) or DEFAULT_MODEL


def _size(option: str, text: str | None) -> int | None:
    """
    Raises:
        InputError: the text is not a size, or is a size of 0.
    """
    try:
        size = None if text is None else parse_bytes(text)
    except ValueError:
        size = 0
    if size == 0:
        raise InputError("not a size", where=option, expected="as 2GiB or 512MiB", found=text)
    return size


def answer(cell: Cell, flags: RunFlags) -> None:
    """Run the cell; the answer goes to stdout, everything else to stderr.

    Whatever ends it, the record is stored before anything is raised.

    Raises:
        typer.Exit: with 130 when the user interrupted; with 1 when the answer is not of the form
            that the prompt asks for.
        BrokenPipeError: the reader of stdout went away.
        LocalPromptError: llama.cpp failed half-way, or stdout cannot be written.
    """
    from localprompt.records import json
    from localprompt.running import watch
    from localprompt.running.answer_checks import NOT_PARSED
    from localprompt.running.run import run_one
    from localprompt.views.messages import (
        print_error,
        print_note,
        print_warnings,
        profile_note,
        stand_in_note,
    )
    from localprompt.views.stream import AnswerStream
    from localprompt.views.summary import summary_lines

    if cell.profile is not None and not flags.quiet:
        print_note(profile_note(cell.profile, cell.model.name))
    asked = cell.template.model_id
    if flags.model is None and asked and asked not in (cell.model.name, cell.model.path):
        print_note(stand_in_note(asked, cell.model.name))
    watch.begin(lambda crash: explain(crash, cell, flags))
    stream = AnswerStream(sys.stdout)
    outcome = run_one(
        cell,
        log=not flags.no_log,
        on_text=None if flags.json else stream.write,
        on_note=(lambda _: None) if flags.quiet else print_note,
    )
    record = outcome.execution.record
    if flags.json:
        with suppress(BrokenPipeError):
            stream.write(json.encode(record).decode())
    stream.finish()
    if not flags.quiet:
        print_note("\n".join(summary_lines(record)))
        print_warnings(record.warnings)
    if outcome.not_recorded is not None:
        print_note("the run was not recorded:")
        print_error(outcome.not_recorded)
    if outcome.execution.failure is not None:
        raise outcome.execution.failure
    if stream.failure is not None:
        if isinstance(stream.failure, BrokenPipeError):
            raise BrokenPipeError
        raise unwritable(stream.failure, "stdout")
    if record.output.finish_reason == "interrupted":
        print_note(_interrupted(outcome, recorded=not flags.no_log))
        raise typer.Exit(EXIT_INTERRUPTED)
    if any(warning.code == NOT_PARSED for warning in record.warnings):
        raise typer.Exit(EXIT_THRESHOLD)


def _interrupted(outcome: Outcome, *, recorded: bool) -> str:
    began = bool(outcome.execution.record.output.text)
    if not recorded or outcome.not_recorded is not None:
        return "interrupted"
    return (
        "interrupted; the answer so far is in the history"
        if began
        else ("interrupted before the first token; the history says so")
    )


def explain(crash: Crash, cell: Cell, flags: RunFlags) -> None:
    """llama.cpp took the process down that answered: record what there is, say what happened."""
    from localprompt.running.run import record_run
    from localprompt.views.messages import print_error

    if crash.tokens and not flags.json:
        print(flush=True)  # noqa: T201  the answer stopped in the middle of a line
    run = None if flags.no_log else crash.run()
    kept = "nothing was recorded in the history"
    if run is not None:
        not_recorded = record_run(run)
        kept = f"{run.id} in the history has {run.tokens.completion} tokens of the answer"
        if not_recorded is not None:
            kept = f"it could not be recorded: {not_recorded}"
    template = cell.template
    held = template.output_schema or template.choices
    schema = f"the answers of {template.path or template.name}" if held else None
    print_error(crash.error(kept=kept, schema=schema))
