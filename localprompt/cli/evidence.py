"""``localprompt evidence``: the ten reasons, measured here."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localprompt import doors
from localprompt.cli.options import TunedLoraOption, adapters, takes
from localprompt.cli.output import check_output
from localprompt.errors import EXIT_INTERRUPTED, InputError
from localprompt.units import parse_list

if TYPE_CHECKING:
    from localprompt.records.evidence import EvidenceReport, Finding
    from localprompt.views.language import Language

DETAILS = (
    "Each reason is an experiment with a hypothesis and a rule that is fixed before it runs. What "
    "an experiment found is kept, and reused while its inputs stay the same; --fresh measures "
    "again. --plan says what would be run and how long it takes. The page is written before "
    "anything runs and again after each experiment. With --tuned-lora, experiments 3 and 9 have an "
    "adapter made elsewhere as their tuned side; the others keep tunings of their own."
)
EXAMPLES = (
    "localprompt evidence --plan",
    "localprompt evidence --only 1,2 -o evidence.html",
    "localprompt evidence --from evidence.json --lang pt-BR -o evidence.html",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvidenceFlags:
    """What ``evidence`` takes."""

    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The page (HTML).")
    ] = None
    only: Annotated[
        str | None, typer.Option(metavar="N,N,…", help="Only these experiments, as 1,4,9.")
    ] = None
    lang: Annotated[
        str, typer.Option(metavar="LANG", help="Language of the page: en or pt-BR.")
    ] = "en"
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="MODEL|PATH", help="By default the starter model."),
    ] = None
    tuned_lora: TunedLoraOption = None
    prices: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your own table of GPU prices (csv)."),
    ] = None
    results: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the results as JSON.")
    ] = None
    read: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Make the page from such a file; run nothing."),
    ] = None
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what would be run, with its rules; run nothing.")
    ] = False
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Ignore earlier results and measure again.")
    ] = False


@takes(EvidenceFlags)
def command(*, flags: EvidenceFlags) -> None:
    """Test the ten reasons for prompting on this machine."""
    from localprompt.views.language import Language, words_for

    language = Language(flags.lang)
    for path in (flags.output, flags.results):
        check_output(path)
    if flags.read is not None:
        with words_for(flags.read):
            _finish(_read(flags.read), flags, language)
        return
    from localprompt.evidence.opening import open_lab
    from localprompt.evidence.running import EXPERIMENTS, choose, plan, run
    from localprompt.models.cards import DEFAULT_MODEL
    from localprompt.views.evidence_progress import evidence_progress
    from localprompt.views.messages import print_note

    chosen = choose(EXPERIMENTS, _numbers(flags.only), adapted=bool(flags.tuned_lora))
    tuned = adapters(flags.tuned_lora, "--tuned-lora") or ()
    model = flags.model or DEFAULT_MODEL
    with (
        evidence_progress(language) as progress,
        open_lab(model, prices=flags.prices, adapters=tuned, on_step=progress.step) as lab,
    ):
        planned = plan(chosen, lab)
        if flags.plan:
            _finish(planned, flags, language)
            return
        progress.begin(planned)
        _write(planned, flags, language)

        def on_finding(report: EvidenceReport, finding: Finding, reused: bool) -> None:
            progress.found(report, finding, reused=reused)
            _write(report, flags, language)

        try:
            report = run(chosen, lab, fresh=flags.fresh, on_finding=on_finding)
        except KeyboardInterrupt:
            print_note("interrupted; what was found is kept: run the same command to continue")
            raise typer.Exit(EXIT_INTERRUPTED) from None
    _finish(report, flags, language)


def _finish(report: EvidenceReport, flags: EvidenceFlags, language: Language) -> None:
    from localprompt.cli.output import console
    from localprompt.views.evidence import print_evidence
    from localprompt.views.messages import print_note

    print_evidence(report, language, console())
    _write(report, flags, language)
    for path in filter(None, (flags.output, flags.results)):
        print_note(f"wrote {path}")


def _write(report: EvidenceReport, flags: EvidenceFlags, language: Language) -> None:
    """Page and results as they are now."""
    from localprompt.cli.output import output_file
    from localprompt.records import json
    from localprompt.views.evidence import evidence_page

    if flags.output is not None:
        with output_file(flags.output) as file:
            file.write(evidence_page(report, language))
    if flags.results is not None:
        with output_file(flags.results) as file:
            file.write(json.encode(report).decode() + "\n")


def _numbers(only: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in parse_list(only or ""))
    except ValueError:
        raise InputError(
            "not experiment numbers", where="--only", expected="as 1,4,9", found=only
        ) from None


def _read(path: Path) -> EvidenceReport:
    """Results that were written with ``--results``.

    Raises:
        InputError: the file is none.
    """
    import msgspec

    from localprompt.records.evidence import EvidenceReport
    from localprompt.records.json import decode_as

    try:
        return decode_as(doors.read_bytes(path), EvidenceReport)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(
            "not the results of the evidence",
            where=str(path),
            expected="a file written by --results",
            found=str(error),
        ) from error
