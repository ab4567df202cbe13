"""``localprompt choose``: quality, speed, memory and cost of several models in one table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from localprompt.cli.eval import SCORINGS
from localprompt.cli.options import (
    REFERENCE_HELP,
    EngineFlags,
    NoProgressOption,
    OutputOption,
    SamplingFlags,
    format_option,
    takes,
)
from localprompt.cli.output import check_output, checked, console, format_of, output_file
from localprompt.errors import EXIT_INTERRUPTED, InputError
from localprompt.units import parse_list

if TYPE_CHECKING:
    from localprompt.choose.opening import Opened
    from localprompt.records.choice import ChoiceResult
    from localprompt.records.evaluation import EvalRequest, Scoring
    from localprompt.store.history import History

DETAILS = (
    "Every model answers every case (an evaluation), and one answer is repeated alone in a "
    "process (a bench); both are stored as such. The sentences below the table say who is better "
    "only where the paired cases show it. Energy is measured where the processor's counters can be "
    "read. Other programs should rest meanwhile."
)
EXAMPLES = (
    "localprompt choose benchmarks/sentiment.yaml -m smollm2-135m -m 0.5b",
    "localprompt choose tickets.yaml -m 0.5b -m 1.5b --limit 40 -o choice.html",
    "localprompt choose tickets.yaml -m 0.5b -m 1.5b --usd-per-hour 0.17 -f csv",
)
FORMATS = ("table", "md", "csv", "json", "html")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChooseFlags(EngineFlags, SamplingFlags):
    """What ``choose`` takes beside its suite."""

    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", metavar="MODEL", help="A model to choose among; give two or more."
        ),
    ] = None
    cases: Annotated[
        Path | None,
        typer.Option("--cases", metavar="FILE", help="Cases for a prompt: csv, jsonl, json, yaml."),
    ] = None
    choices: Annotated[
        str | None, typer.Option("--choices", metavar="A,B,…", help="The only answers allowed.")
    ] = None
    scoring: Annotated[
        str, typer.Option(metavar="HOW", help=f"How a choice is made: {', '.join(SCORINGS)}.")
    ] = "raw"
    limit: Annotated[int | None, typer.Option(min=1, help="Only this many cases.")] = None
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Pick the cases of --limit at random (--seed).")
    ] = False
    repetitions: Annotated[
        int | None,
        typer.Option(
            "--repetitions",
            "-r",
            min=1,
            help="Repetitions of one answer; by default 6 to 12, as needed.",
        ),
    ] = None
    usd_per_kwh: Annotated[
        float | None,
        typer.Option("--usd-per-kwh", metavar="USD", help="Your price of electricity."),
    ] = None
    usd_per_hour: Annotated[
        float | None,
        typer.Option("--usd-per-hour", metavar="USD", help="What an hour of this machine costs."),
    ] = None
    judge: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Grades rubrics; by default the model that answered."),
    ] = None
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run the suite's python assertions.")
    ] = False
    resume: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Finish a choice that was cut off. " + REFERENCE_HELP),
    ] = None
    no_log: Annotated[bool, typer.Option("--no-log", help="Do not record it in the history.")] = (
        False
    )
    format: Annotated[
        str | None,
        format_option("table, md, csv, json or html; by default what -o FILE ends in, or a table."),
    ] = None
    output: OutputOption = None
    quiet: NoProgressOption = False


@takes(ChooseFlags)
def command(
    suite: Annotated[
        str | None, typer.Argument(metavar="SUITE|PROMPT", help="A suite, or a prompt with cases.")
    ] = None,
    *,
    flags: ChooseFlags,
) -> None:
    """Choose among models: quality, speed, memory, cost."""
    from localprompt.choose.running import load_choice
    from localprompt.cli.eval_output import evaluation_store
    from localprompt.views.messages import print_note

    wanted = format_of(flags.format, flags.output, FORMATS)
    check_output(flags.output)
    if (suite is None) == (flags.resume is None):
        raise InputError(
            "nothing to choose for" if suite is None else "--resume knows its suite",
            expected="a suite, or --resume ID",
            next_step=EXAMPLES[0],
        )
    with evaluation_store(log=not flags.no_log) as store:
        opened = _opened(suite, flags, store)
        interrupted = _carry_out(opened, store, flags)
        result = load_choice(opened.choice, store)
    write_choice(result, wanted, flags.output)
    if interrupted:
        go_on = f"; go on with:  localprompt choose --resume {opened.choice.id}"
        print_note(f"interrupted{'' if flags.no_log else go_on}")
        raise typer.Exit(EXIT_INTERRUPTED)


def write_choice(result: ChoiceResult, wanted: str, output: Path | None) -> None:
    """The choice in one of FORMATS, to stdout or a file."""
    from localprompt.views.choose import print_choice
    from localprompt.views.files.choose import ChoiceFormat
    from localprompt.views.files.choose import write_choice as export
    from localprompt.views.terminal import Terminal

    with output_file(output) as stream:
        if wanted == "table":
            print_choice(result, console() if output is None else Terminal(file=stream, width=120))
        else:
            export(result, cast("ChoiceFormat", wanted), stream)


def request_from_flags(suite: str, flags: ChooseFlags) -> EvalRequest:
    """The flags as the evaluation knows them.

    Raises:
        InputError: there is no such scoring.
    """
    from localprompt.records.evaluation import EvalRequest

    return EvalRequest(
        suite=suite,
        models=tuple(flags.model or ()),
        cases=None if flags.cases is None else str(flags.cases),
        choices=parse_list(flags.choices or ""),
        scoring=cast("Scoring", checked("--scoring", flags.scoring, SCORINGS)),
        sampling=flags.sampling(),
        settings=flags.settings(),
        given=tuple(flags.given()),
        profile=flags.profile or "default",
        limit=flags.limit,
        shuffle=flags.shuffle,
        seed=flags.seed or 0,
        judge=flags.judge,
        allow_code=flags.allow_code,
        force=flags.force,
    )


def _opened(suite: str | None, flags: ChooseFlags, store: History) -> Opened:
    from localprompt.choose.opening import begin, resume
    from localprompt.records.choice import Prices
    from localprompt.views.messages import print_note

    if flags.resume is not None:
        return resume(flags.resume, store)
    prices = Prices(flags.usd_per_kwh, flags.usd_per_hour)
    request = request_from_flags(suite or "", flags)
    opened = begin(request, prices, store, repetitions=flags.repetitions)
    if not flags.quiet:
        for note in opened.planned.evaluation.notes:
            print_note(f"note: {note}")
        for one in opened.experiment.refused:
            print_note(f"note: not measured alone: {', '.join(one.labels.values())}: {one.reason}")
    return opened


def _carry_out(opened: Opened, store: History, flags: ChooseFlags) -> bool:
    """Make what is missing; True where the user interrupted it."""
    from localprompt.choose.running import carry_out
    from localprompt.evaluate.models import Models
    from localprompt.views.progress import bench_progress, eval_progress

    try:
        with (
            Models() as models,
            eval_progress(quiet=flags.quiet) as on_progress,
            bench_progress(quiet=flags.quiet) as on_step,
        ):
            carry_out(opened, store, models, on_progress=on_progress, on_step=on_step)
    except KeyboardInterrupt:
        return True
    return False
