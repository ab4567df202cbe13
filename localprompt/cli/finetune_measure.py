"""``localprompt finetune measure``: train the same model here, and say what it took."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from localprompt.cli.options import NoProgressOption, OutputOption, format_option, takes
from localprompt.cli.output import check_output, checked, console, format_of, output_file
from localprompt.errors import InputError

if TYPE_CHECKING:
    from localprompt.records.training import Loss, Schedule, TrainingRequest, TrainingResult

FORMATS = ("table", "md", "json")
LOSSES = ("answer", "all")
SCHEDULES = ("linear", "cosine", "constant")
_HOLDOUT = "0.1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasureFlags:
    """What ``finetune measure`` takes beside the model, the examples and the prompt."""

    holdout: Annotated[
        str,
        typer.Option(
            metavar="FILE|FRACTION", help="Examples to test on, or the share of them to hold out."
        ),
    ] = _HOLDOUT
    limit: Annotated[int | None, typer.Option(help="Train on only this many examples.")] = None
    epochs: Annotated[int, typer.Option(help="Passes over the examples.")] = 3
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate of AdamW.")] = 2e-5
    schedule: Annotated[
        str, typer.Option(metavar="NAME", help="How the rate falls: linear, cosine or constant.")
    ] = "linear"
    warmup: Annotated[float, typer.Option(help="Share of the steps in which the rate rises.")] = 0.1
    weight_decay: Annotated[float, typer.Option(help="Weight decay of AdamW.")] = 0.0
    loss: Annotated[
        str, typer.Option(metavar="WHAT", help="Train on the answer only, or on the whole example.")
    ] = "answer"
    n_ctx: Annotated[
        int | None,
        typer.Option(
            "--n-ctx", help="Tokens of a step, a multiple of 256; by default as few as fit."
        ),
    ] = None
    threads: Annotated[int | None, typer.Option(min=1, help="By default the physical cores.")] = (
        None
    )
    seed: Annotated[
        int, typer.Option(min=0, help="Seed for the order and the held-out examples.")
    ] = 0
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Name of the tuned model.")
    ] = None
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop after this many minutes and keep the result.")
    ] = None
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")] = (
        False
    )
    again: Annotated[
        bool, typer.Option("--again", help="Start over, and replace what is there.")
    ] = False
    force: Annotated[
        bool, typer.Option("--force", help="Train even if it is predicted not to fit.")
    ] = False
    no_log: Annotated[bool, typer.Option("--no-log", help="Do not record the result.")] = False
    format: Annotated[
        str | None, format_option("table, md or json; by default what -o FILE ends in, or a table.")
    ] = None
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False
    output: OutputOption = None
    quiet: NoProgressOption = False


@takes(MeasureFlags)
def measure(
    model: Annotated[
        str, typer.Argument(metavar="MODEL|PATH", help="A local model, or a GGUF file.")
    ],
    *,
    train: Annotated[
        Path,
        typer.Option(
            "--train",
            metavar="FILE",
            help="Examples: csv, jsonl, json or yaml; the prompt's inputs, and expected.",
        ),
    ],
    prompt: Annotated[
        str, typer.Option("--prompt", metavar="PROMPT", help="The prompt's name or file.")
    ],
    flags: MeasureFlags,
) -> None:
    """Train a model on examples of a prompt, on this CPU, and measure what that takes.

    All weights but the token embeddings are trained as 32-bit floats. The tuned model is registered
    beside its parent, in the same quantization. Ctrl-C keeps a checkpoint for --resume.
    """
    from localprompt.finetune.training.run import tune
    from localprompt.views.messages import print_note, print_warnings
    from localprompt.views.progress import training_progress

    wanted = "json" if flags.json else format_of(flags.format, flags.output, FORMATS)
    check_output(flags.output)
    request = request_from_flags(model, train, prompt, flags)
    try:
        with training_progress(quiet=flags.quiet) as on_progress:
            result = tune(request, on_progress)
    except KeyboardInterrupt:
        print_note("what was reached is kept; continue with the same command and --resume")
        raise
    _write(result, wanted, flags)
    if not flags.quiet:
        print_warnings(result.warnings)
        print_note(f"try:  localprompt eval {request.prompt} -m {result.tuned.name}")


def request_from_flags(
    model: str, train: Path, prompt: str, flags: MeasureFlags
) -> TrainingRequest:
    """The flags as the rest of the package knows them.

    Raises:
        InputError: a word is not known, or the fraction to hold out is out of its range.
    """
    from localprompt.records.training import TrainingRequest

    file, fraction = _holdout(flags.holdout)
    return TrainingRequest(
        model=model,
        train=str(train),
        prompt=prompt,
        name=flags.name,
        holdout=file,
        holdout_fraction=fraction,
        limit=flags.limit,
        epochs=flags.epochs,
        learning_rate=flags.learning_rate,
        schedule=cast("Schedule", checked("--schedule", flags.schedule, SCHEDULES)),
        warmup=flags.warmup,
        weight_decay=flags.weight_decay,
        loss=cast("Loss", checked("--loss", flags.loss, LOSSES)),
        n_ctx=flags.n_ctx,
        n_threads=flags.threads,
        seed=flags.seed,
        max_minutes=flags.max_minutes,
        resume=flags.resume,
        again=flags.again,
        force=flags.force,
        log=not flags.no_log,
    )


def _holdout(text: str) -> tuple[str | None, float]:
    """A file, or the share of the examples."""
    try:
        fraction = float(text)
    except ValueError:
        return text, 0.0
    if not 0 <= fraction < 1:
        raise InputError(
            "this number is out of range",
            where="--holdout",
            expected="a file, or 0 to below 1",
            found=text,
        )
    return None, fraction


def _write(result: TrainingResult, wanted: str, flags: MeasureFlags) -> None:
    from localprompt.records import json as record_json
    from localprompt.views.training import print_training, training_markdown

    if wanted == "table" and flags.output is None:
        print_training(result, console())
        return
    text = training_markdown(result) if wanted != "json" else record_json.encode(result).decode()
    with output_file(flags.output) as file:
        file.write(text.rstrip("\n") + "\n")
    if flags.output is None:
        sys.stdout.flush()
