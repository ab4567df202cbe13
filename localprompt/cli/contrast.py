"""``localprompt contrast``: prompting beside fine-tuning, in one table and on one page."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localprompt import doors
from localprompt.cli.options import TunedLoraOption, adapters, takes
from localprompt.cli.output import check_output
from localprompt.errors import EXIT_INTERRUPTED, InputError

if TYPE_CHECKING:
    from localprompt.records.contrast import ContrastReport
    from localprompt.views.language import Language

DETAILS = (
    "Every prompt of the suite is measured on the model, six times; the model is tuned on the "
    "examples of --train and measured in the same way; for a model of 7 billion parameters both "
    "are estimated. Every figure says which. The tuning is kept and reused. With --tuned-lora, an "
    "adapter made elsewhere is the tuned side, with each prompt: what its training took is not "
    "known then, and left out."
)
EXAMPLES = (
    "localprompt contrast -o contrast.html",
    "localprompt contrast --tuned-lora style.gguf:0.8 -o contrast.html",
    "localprompt contrast --from contrast.json --lang pt-BR -o contrast.html",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContrastFlags:
    """What ``contrast`` takes."""

    suite: Annotated[str, typer.Option(metavar="FILE", help="A suite whose prompts are files.")] = (
        "benchmarks/sentiment.yaml"
    )
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The page (HTML).")
    ] = None
    train: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Examples to tune on; by default datasets/NAME-train.csv beside the suite.",
        ),
    ] = None
    tuned_lora: TunedLoraOption = None
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="MODEL|PATH", help="By default the starter model."),
    ] = None
    lang: Annotated[
        str, typer.Option(metavar="LANG", help="Language of the page: en or pt-BR.")
    ] = "en"
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


@takes(ContrastFlags)
def command(*, flags: ContrastFlags) -> None:
    """Compare prompting with fine-tuning, measured and estimated."""
    from localprompt.views.language import Language, words_for

    language = Language(flags.lang)
    for path in (flags.output, flags.results):
        check_output(path)
    if flags.read is not None:
        with words_for(flags.read):
            _finish(_read(flags.read), flags, language)
        return
    from localprompt.evidence.contrast import contrast
    from localprompt.evidence.opening import open_lab
    from localprompt.models.cards import DEFAULT_MODEL
    from localprompt.views.evidence_progress import evidence_progress
    from localprompt.views.messages import print_note

    name = flags.model or DEFAULT_MODEL
    tuned = adapters(flags.tuned_lora, "--tuned-lora") or ()
    with (
        evidence_progress(language) as progress,
        open_lab(name, prices=flags.prices, adapters=tuned, on_step=progress.step) as lab,
    ):
        try:
            report = contrast(lab, flags.suite, flags.train)
        except KeyboardInterrupt:
            print_note("interrupted; a started tuning is kept: run the same command to continue")
            raise typer.Exit(EXIT_INTERRUPTED) from None
    _finish(report, flags, language)


def _finish(report: ContrastReport, flags: ContrastFlags, language: Language) -> None:
    from localprompt.cli.output import console, output_file
    from localprompt.records import json
    from localprompt.views.contrast import contrast_page, print_contrast
    from localprompt.views.messages import print_note

    print_contrast(report, language, console())
    if flags.output is not None:
        with output_file(flags.output) as file:
            file.write(contrast_page(report, language))
        print_note(f"wrote {flags.output}")
    if flags.results is not None:
        with output_file(flags.results) as file:
            file.write(json.encode(report).decode() + "\n")
        print_note(f"wrote {flags.results}")


def _read(path: Path) -> ContrastReport:
    """Results that were written with ``--results``.

    Raises:
        InputError: the file does not hold such results.
    """
    import msgspec

    from localprompt.records.contrast import ContrastReport
    from localprompt.records.json import decode_as

    try:
        return decode_as(doors.read_bytes(path), ContrastReport)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(
            "not the results of a contrast",
            where=str(path),
            expected="a file written by --results",
            found=str(error),
        ) from error
