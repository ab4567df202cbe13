"""``localprompt improve``: the better prompt, found and proved on held-out cases."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from localprompt.cli.options import EngineFlags, ModelOption, NoProgressOption, takes
from localprompt.cli.output import checked, console
from localprompt.errors import EXIT_INTERRUPTED, EXIT_THRESHOLD, InputError
from localprompt.units import parse_list
from localprompt.views.stream import data_out

if TYPE_CHECKING:
    from localprompt.improve.opening import Setting
    from localprompt.records.improvement import Improvement, ImproveRequest, Searched
    from localprompt.store.history import History

DETAILS = (
    "The cases are split once: wordings, examples and ways of weighing closed answers race on one "
    "part, the best few meet on a second, and the winner and PROMPT answer the third, once. The "
    "new file is written only where a gain was shown there (exact test, p below 0.05), and never "
    "over another. Nothing is trained. Ctrl-C keeps what was answered; --resume goes on."
)
EXAMPLES = (
    "localprompt improve classify-sentiment --cases reviews.csv -o better.prompty",
    "localprompt improve classify-sentiment --cases reviews.csv --minutes 5",
    "localprompt improve --resume last",
)
FORMATS = ("table", "json")
SEARCHED = ("wordings", "examples", "scoring", "answers")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImproveFlags(EngineFlags):
    """What ``improve`` takes beside its prompt."""

    cases: Annotated[
        Path | None,
        typer.Option(
            "--cases", metavar="FILE", help="Cases to search with: csv, jsonl, json, yaml."
        ),
    ] = None
    final: Annotated[
        Path | None,
        typer.Option(
            "--final", metavar="FILE", help="Cases for the final test; else a part of --cases."
        ),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The better prompt: new.prompty."),
    ] = None
    model: ModelOption = None
    wordings: Annotated[
        Path | None,
        typer.Option(
            "--wordings", metavar="FILE", help="Your own wordings, a line of --- between them."
        ),
    ] = None
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", metavar="FILE", help="Words that may stand for each choice (YAML)."
        ),
    ] = None
    nearest_by: Annotated[
        str | None,
        typer.Option(
            "--nearest-by", metavar="MODEL", help="Its embeddings also choose nearest examples."
        ),
    ] = None
    rewrite_with: Annotated[
        str | None,
        typer.Option(
            "--rewrite-with", metavar="MODEL", help="It rewrites the instruction, six times."
        ),
    ] = None
    search: Annotated[
        str,
        typer.Option(metavar="WHAT,…", help="What to try: wordings, examples, scoring, answers."),
    ] = ",".join(SEARCHED)
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="pass, score, macro_f1, fields, or a metric of the cases; by default fields where "
            "objects are expected, else pass.",
        ),
    ] = None
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.01, help="Most minutes to take.")
    ] = None
    max_evaluations: Annotated[
        int | None, typer.Option("--max-evaluations", min=1, help="Most cases to ask.")
    ] = None
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Most tokens to evaluate.")
    ] = None
    max_prompt_tokens: Annotated[
        int | None,
        typer.Option("--max-prompt-tokens", min=1, help="Most tokens of the new prompt."),
    ] = None
    max_ttft: Annotated[
        float | None,
        typer.Option("--max-ttft", min=0.001, help="Most seconds to the new prompt's first text."),
    ] = None
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the split and of random choices.")
    ] = 0
    judge: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Grades rubrics; by default the model that answered."),
    ] = None
    keep_anyway: Annotated[
        bool, typer.Option("--keep-anyway", help="Write the file even if no gain was shown.")
    ] = False
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Do not reuse answers of earlier searches.")
    ] = False
    no_log: Annotated[
        bool, typer.Option("--no-log", help="Do not keep the search in the history.")
    ] = False
    resume: Annotated[
        str | None, typer.Option(metavar="ID", help="Continue a search: an id, or last.")
    ] = None
    format: Annotated[str, typer.Option("--format", "-f", help="table or json.")] = "table"
    quiet: NoProgressOption = False


@takes(ImproveFlags)
def command(
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="A prompt's name or file.")
    ] = None,
    *,
    flags: ImproveFlags,
) -> None:
    """Find a better prompt and prove it on held-out cases."""
    from localprompt.records import json
    from localprompt.store.history import History
    from localprompt.views.improve import print_improvement
    from localprompt.views.messages import print_note

    checked("--format", flags.format, FORMATS)
    if (prompt is None) == (flags.resume is None):
        raise InputError(
            "nothing to improve"
            if prompt is None
            else "--resume takes no prompt: the search has one",
            expected="a prompt, or --resume ID",
            next_step="localprompt improve classify-sentiment --cases reviews.csv -o new.prompty",
        )
    with History() as store:
        setting = _opened(prompt, flags, store)
        try:
            record = _carried_out(setting, flags, store)
        except KeyboardInterrupt:
            print_note(
                "interrupted; all answers so far are kept\n"
                + (
                    "the same command reuses them"
                    if flags.no_log
                    else f"continue: localprompt improve --resume {setting.improvement.id}"
                )
            )
            raise typer.Exit(EXIT_INTERRUPTED) from None
    if flags.format == "json":
        data_out().write(json.encode(record).decode() + "\n")
    else:
        print_improvement(record, console())
    if record.output is None and record.final is not None and not record.final.shown:
        raise typer.Exit(EXIT_THRESHOLD)


def request_from_flags(prompt: str, flags: ImproveFlags) -> ImproveRequest:
    """The flags as the rest of the package knows them.

    Raises:
        InputError: ``--search`` names something else.
    """
    from localprompt.records.improvement import ImproveRequest

    def text(path: Path | None) -> str | None:
        return None if path is None else str(path)

    searched = parse_list(flags.search)
    for part in searched:
        checked("--search", part, SEARCHED)
    return ImproveRequest(
        prompt=prompt,
        cases=text(flags.cases),
        final=text(flags.final),
        model=flags.model,
        search=cast("tuple[Searched, ...]", searched),
        wordings=text(flags.wordings),
        labels=text(flags.labels),
        nearest_by=flags.nearest_by,
        rewrite_with=flags.rewrite_with,
        metric=flags.metric,
        seed=flags.seed,
        minutes=flags.minutes,
        max_evaluations=flags.max_evaluations,
        max_tokens=flags.max_tokens,
        max_prompt_tokens=flags.max_prompt_tokens,
        max_ttft_seconds=flags.max_ttft,
        judge=flags.judge,
        settings=flags.settings(),
        cached=not flags.no_cache,
        force=flags.force,
        keep_anyway=flags.keep_anyway,
        output=text(flags.output),
    )


def _opened(prompt: str | None, flags: ImproveFlags, store: History) -> Setting:
    import msgspec

    from localprompt.improve.opening import open_search
    from localprompt.views.messages import print_note

    if flags.resume is not None:
        before = store.improvement(flags.resume)
        settings = msgspec.structs.replace(before.request.settings, **flags.given())
        # What it answered before it was cut off is its own, even if it was to ask everything anew.
        request = msgspec.structs.replace(before.request, settings=settings, cached=True)
        setting = open_search(request, earlier=before)
    else:
        setting = open_search(request_from_flags(prompt or "", flags))
    if not flags.quiet:
        for note in setting.improvement.notes:
            print_note(f"note: {note}")
        sizes = ", ".join(f"{part.name} {part.cases}" for part in setting.improvement.parts)
        print_note(f"cases: {sizes}")
    return setting


def _carried_out(setting: Setting, flags: ImproveFlags, store: History) -> Improvement:
    from localprompt.evaluate.models import Models
    from localprompt.improve.costs import in_workers
    from localprompt.improve.running import answers_path, improve
    from localprompt.store.history import History
    from localprompt.views.improve import improve_progress

    with (
        History(answers_path()) as answers,
        Models(keep=True) as models,
        improve_progress(quiet=flags.quiet) as on_progress,
    ):
        return improve(
            setting,
            answers,
            models,
            keep=(lambda _: None) if flags.no_log else store.keep,
            on_progress=on_progress,
            measure_cost=in_workers(
                setting.improvement.model,
                setting.improvement.request.settings,
                force=flags.force,
            ),
        )
