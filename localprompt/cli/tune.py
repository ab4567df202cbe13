"""``localprompt tune``: the fastest weights and settings for a prompt, and a profile of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localprompt.cli.options import NoProgressOption, takes
from localprompt.cli.output import check_output, checked, console, output_file
from localprompt.errors import EXIT_INTERRUPTED, InputError
from localprompt.units import parse_list
from localprompt.views.stream import data_out

if TYPE_CHECKING:
    from localprompt.records.cell import Cell
    from localprompt.records.tuning import Tuning
    from localprompt.store.history import History

DETAILS = (
    "Types of weights race on the prompt, then settings on the fastest weights whose quality is "
    "inside the bound: perplexity on a text against MODEL, and the pass rate of the suite, case by "
    "case. What is chosen becomes a profile, which run, ask, bench and eval use for MODEL on this "
    "machine from then on. Other programs should rest meanwhile."
)
EXAMPLES = (
    "localprompt tune smollm2-135m --prompt summarize",
    "localprompt tune smollm2-135m --suite benchmarks/sentiment.yaml",
    "localprompt tune smollm2-135m --prompt explain --types q4_0,q8_0 -o tune.html",
)
FORMATS = ("table", "json")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneFlags:
    """What ``tune`` takes beside its model."""

    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="PROMPT", help="What to optimize for.")
    ] = None
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", "-p", metavar="NAME=VALUE|NAME=@FILE", help="By default a typical case."
        ),
    ] = None
    suite: Annotated[
        str | None,
        typer.Option("--suite", metavar="SUITE", help="Its pass rate must not get worse."),
    ] = None
    types: Annotated[
        str | None, typer.Option(metavar="TYPE,…", help="Types to try; '' for MODEL's own only.")
    ] = None
    text: Annotated[
        Path | None,
        typer.Option(
            "--text", metavar="FILE", help="For perplexity; by default the built-in English."
        ),
    ] = None
    max_perplexity: Annotated[
        float,
        typer.Option(min=0.0, metavar="PERCENT", help="How much perplexity may rise at most."),
    ] = 3.0
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Most tokens to generate.")
    ] = None
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name of the profile; by default MODEL's."),
    ] = None
    force: Annotated[
        bool, typer.Option("--force", help="Load even if it is predicted not to fit.")
    ] = False
    format: Annotated[str, typer.Option("--format", "-f", help="table or json.")] = "table"
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A page: tune.html.")
    ] = None
    quiet: NoProgressOption = False


@takes(TuneFlags)
def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's name.")],
    *,
    flags: TuneFlags,
) -> None:
    """Find the fastest weights and settings for a prompt on this CPU."""
    from localprompt.records import json
    from localprompt.views.messages import print_note
    from localprompt.views.tune import print_tuning, tuning_page

    checked("--format", flags.format, FORMATS)
    check_output(flags.output)
    if flags.output is not None and flags.output.suffix.lower() not in {".html", ".htm"}:
        raise InputError(
            "the page is HTML", where="--output", expected="a .html file", found=str(flags.output)
        )
    try:
        tuning = _tuned(model, flags)
    except KeyboardInterrupt:
        print_note("interrupted; what was measured was kept, and no profile was written")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if flags.format == "json":
        data_out().write(json.encode(tuning).decode() + "\n")
    else:
        print_tuning(tuning, console())
    if flags.output is not None:
        with output_file(flags.output) as stream:
            stream.write(tuning_page(tuning))


def _tuned(model: str, flags: TuneFlags) -> Tuning:
    """Search, and write the profile."""
    import msgspec

    from localprompt.running.profiles import check_name, write_profile
    from localprompt.store.history import History
    from localprompt.tuning.search import profile_of

    name = check_name(flags.name or model)
    cell = _cell(model, flags)
    types = _types(flags.types)
    with History() as store:
        tuning = _search(cell, types, flags, store)
        profile = profile_of(tuning, name)
        if profile is not None:
            write_profile(profile)
            tuning = msgspec.structs.replace(tuning, profile=name)
            store.keep(tuning)
    return tuning


def _search(cell: Cell, types: tuple[str, ...], flags: TuneFlags, store: History) -> Tuning:
    from localprompt.models.quality.measure import check_text, load_text
    from localprompt.records.tuning import Bounds
    from localprompt.store.history import History
    from localprompt.tuning.judging import Judge
    from localprompt.tuning.runs import Runs
    from localprompt.tuning.search import Tuner, begun
    from localprompt.views.messages import print_note

    def note(text: str) -> None:
        if not flags.quiet:
            print_note(text)

    text, bounds = load_text(flags.text), Bounds(perplexity=flags.max_perplexity / 100)
    check_text(cell.model, text)
    tuning = begun(cell, flags.suite, bounds, f"tune {cell.model.name}")
    store.keep(tuning)
    with History() as history:
        runs = Runs(
            tuning.id,
            cell,
            history,
            on_run=lambda one, times: note(f"{one.name}: {times} run{'s' if times > 1 else ''}"),
        )
        judge = Judge(
            cell.model, cell.settings, flags.suite, text, bounds, store=store, force=flags.force
        )
        return Tuner(cell, tuning, runs=runs, judge=judge, store=store, on_note=note).run(types)


def _cell(model: str, flags: TuneFlags) -> Cell:
    from localprompt.running.assemble import model_record
    from localprompt.tuning.prompt import cell_to_tune

    return cell_to_tune(
        model_record(model),
        flags.prompt,
        flags.suite,
        flags.param or (),
        max_tokens=flags.max_tokens,
        force=flags.force,
    )


def _types(wanted: str | None) -> tuple[str, ...]:
    """The types to try, each one that llama.cpp makes.

    Raises:
        UnknownNameError: one is not; with the nearest.
    """
    from localprompt.models.quantize.job import file_type_named
    from localprompt.tuning.candidates import DEFAULT_TYPES

    if wanted is None:
        return DEFAULT_TYPES
    return tuple(file_type_named(part).lower() for part in parse_list(wanted))
