"""``localprompt eval``: pass rates of prompts and models over a dataset."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from localprompt.cli.options import (
    REFERENCE_HELP,
    ChatTemplateOption,
    EngineFlags,
    EvaluationFormat,
    LenientOption,
    NoProgressOption,
    OutputOption,
    SamplingFlags,
    takes,
)
from localprompt.cli.output import check_output, checked
from localprompt.cli.spreading import (
    SpreadFlags,
    check_cluster_flags,
    check_workers,
    executor_of,
    spreading,
)
from localprompt.errors import EXIT_INTERRUPTED, InputError, ThresholdError
from localprompt.units import parse_list

if TYPE_CHECKING:
    from localprompt.evaluate.models import Models
    from localprompt.evaluate.planning import Planned
    from localprompt.records.condition import Condition
    from localprompt.records.evaluation import EvalRequest, EvalResult, Scoring
    from localprompt.running.watch import Crash
    from localprompt.sources.suite.records import EvalSuite
    from localprompt.store.history import History

DETAILS = (
    "SUITE is a promptfoo configuration file, a task of lm-eval with local data, or a prompt with "
    "cases beside it. Every result is stored as it comes; answers to unchanged requests are taken "
    "over. --fail-if ends with exit code 1: 'pass_rate < 0.9', 'score < 0.8', 'errors > 0', "
    "'macro_f1 < 0.7', or a metric's name."
)
EXAMPLES = (
    "localprompt eval benchmarks/sentiment.yaml -m smollm2-135m",
    "localprompt eval classify-sentiment -m smollm2-135m -m qwen2.5-coder-0.5b",
    "localprompt eval tickets.yaml --fail-if 'pass_rate < 0.9' -o results.xml",
)
FORMATS = ("table", "md", "csv", "json", "jsonl", "junit")
SCORINGS = ("raw", "normalized", "calibrated", "batch", "generate")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalFlags(SpreadFlags, EngineFlags, SamplingFlags):
    """What ``eval`` takes beside its suite."""

    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL|PROVIDER=MODEL",
            help="A model for the whole suite, or for one provider; repeatable.",
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
        str,
        typer.Option(
            metavar="HOW",
            help="How a choice is made: raw, normalized, calibrated, batch or generate.",
        ),
    ] = "raw"
    parallel: Annotated[
        int | None, typer.Option(min=1, help="Cases at once; by default as many as make it faster.")
    ] = None
    repeat: Annotated[int | None, typer.Option(min=1, help="Run each case this many times.")] = None
    limit: Annotated[int | None, typer.Option(min=1, help="Run only this many cases.")] = None
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Pick the cases of --limit at random (--seed).")
    ] = False
    filter_failing: Annotated[
        bool, typer.Option("--filter-failing", help="Only the cases that did not pass last time.")
    ] = False
    judge: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Grades rubrics; by default the model that answered."),
    ] = None
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run the suite's python assertions.")
    ] = False
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Skip malformed rows and count them.")
    ] = False
    allow_outside: Annotated[
        bool,
        typer.Option(
            "--allow-outside",
            help="Let the suite read outside its folder and write outside this one.",
        ),
    ] = False
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Show what would be run, read and written; run nothing."),
    ] = False
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Only this part of the cases, for runs merge; with -o."),
    ] = None
    lenient: LenientOption = False
    strict: Annotated[
        bool, typer.Option("--strict", help="Treat unknown keys of a suite as errors.")
    ] = False
    chat_template: ChatTemplateOption = None
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Answer every case again, without the cache.")
    ] = False
    no_log: Annotated[bool, typer.Option("--no-log", help="Do not record it in the history.")] = (
        False
    )
    resume: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Finish an evaluation that was cut off. " + REFERENCE_HELP),
    ] = None
    watch: Annotated[
        bool, typer.Option("--watch", help="Run again whenever a file of the suite is saved.")
    ] = False
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if", metavar="CONDITION", help="Such as 'pass_rate < 0.9'; repeatable."
        ),
    ] = None
    format: EvaluationFormat = None
    output: OutputOption = None
    quiet: NoProgressOption = False


@takes(EvalFlags)
def command(
    suite: Annotated[
        str | None, typer.Argument(metavar="SUITE|PROMPT", help="A suite, or a prompt with cases.")
    ] = None,
    *,
    flags: EvalFlags,
) -> None:
    """Evaluate prompts and models over a dataset."""
    from localprompt.cli.eval_output import evaluation_store
    from localprompt.evaluate.loading import open_suite
    from localprompt.evaluate.models import Models
    from localprompt.evaluate.opening import begin, resume
    from localprompt.evaluate.shards import parse_shard
    from localprompt.records.condition import parse_condition
    from localprompt.running import watch
    from localprompt.views.messages import print_note

    wanted = _format(flags)
    check_output(flags.output)
    conditions = [parse_condition(text) for text in flags.fail_if or ()]
    if (suite is None) == (flags.resume is None):
        raise InputError(
            "nothing to evaluate",
            expected="a suite, or --resume ID",
            next_step="localprompt eval benchmarks/sentiment.yaml",
        )
    if flags.shard is not None:
        _check_part(parse_shard(flags.shard)[0], "--shard", flags)
    check_workers(flags)
    if flags.plan and suite is not None:
        _show_plan(request_from_flags(suite, flags))
        return
    check_cluster_flags(flags)
    watch.begin(lambda crash: _explain(crash, recorded=not flags.no_log))
    with (
        evaluation_store(log=not flags.no_log) as store,
        Models(keep=flags.watch, on_note=print_note) as models,
    ):
        if flags.resume is not None:
            planned = resume(flags.resume, store)
            if (shard := planned.evaluation.shard) is not None:
                _check_part(shard.number, f"--resume {flags.resume}", flags)
            _check_spread(planned.suite, planned.evaluation.request, flags)
        else:
            request = request_from_flags(suite or "", flags)
            if spreading(flags) is not None:
                _check_spread(open_suite(request), request, flags)
            if flags.watch:
                _watch(request, store, models, flags)
                return
            planned = begin(
                request, store, only_failing=flags.filter_failing, conditions=conditions
            )
        interrupted = _carry_out(planned, store, models, flags)
        models.close()  # statistics take some memory, too; not on top of the models'
        result = _report(planned, store, wanted, flags)
    if interrupted:
        print_note("interrupted" if flags.no_log else "interrupted; what is done was kept")
        raise typer.Exit(EXIT_INTERRUPTED)
    enforce(result, conditions)


def _explain(crash: Crash, *, recorded: bool) -> None:
    """llama.cpp took the process down that evaluated."""
    from localprompt.views.messages import print_error

    error = crash.error(
        kept="every answered case is in the history" if recorded else "nothing was recorded"
    )
    if recorded:
        error.next_step = f"{error.next_step}; then localprompt eval --resume last"
    print_error(error)


def _show_plan(request: EvalRequest) -> None:
    """What an evaluation would do; nothing is stored."""
    from localprompt.cli.output import console
    from localprompt.evaluate.loading import open_suite
    from localprompt.evaluate.planning import plan_evaluation
    from localprompt.views.eval_plan import print_plan

    print_plan(plan_evaluation(open_suite(request), request), console())


def request_from_flags(suite: str, flags: EvalFlags) -> EvalRequest:
    """The flags as the rest of the package knows them.

    Raises:
        InputError: the chat template cannot be read, or there is no such scoring.
    """
    from localprompt.evaluate.shards import parse_shard
    from localprompt.records.evaluation import EvalRequest
    from localprompt.running.assemble import chat_template_text

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
        chat_template=chat_template_text(flags.chat_template),
        parallel=flags.parallel,
        repeat=flags.repeat,
        limit=flags.limit,
        shuffle=flags.shuffle,
        seed=flags.seed or 0,
        judge=flags.judge,
        allow_code=flags.allow_code,
        skip_bad_rows=flags.skip_bad_rows,
        lenient=flags.lenient,
        allow_outside=flags.allow_outside,
        shard=None if flags.shard is None else parse_shard(flags.shard),
        strict=flags.strict,
        cached=not flags.no_cache,
        force=flags.force,
    )


def _carry_out(planned: Planned, store: History, models: Models, flags: EvalFlags) -> bool:
    """Make what is missing; True where the user interrupted it."""
    from localprompt.engine.llama.proof import gate
    from localprompt.evaluate.runner import run_evaluation
    from localprompt.views.messages import print_note, print_warnings, profile_note
    from localprompt.views.progress import eval_progress

    if not flags.quiet:
        for note in planned.evaluation.notes:
            print_note(f"note: {note}")
        targets = planned.evaluation.targets
        notes = [profile_note(t.profile, t.model.name) for t in targets if t.profile]
        for note in dict.fromkeys(notes):
            print_note(note)
        if planned.evaluation.request.settings.repack and not flags.force:
            print_warnings(gate.remarks())
    try:
        with (
            eval_progress(quiet=flags.quiet) as on_progress,
            executor_of(flags, quiet=flags.quiet) as executor,
        ):
            run_evaluation(planned, store, models, executor=executor, on_progress=on_progress)
    except KeyboardInterrupt:
        return True
    return False


def _check_spread(suite: EvalSuite, request: EvalRequest, flags: EvalFlags) -> None:
    """Before anything is stored.

    Raises:
        InputError: this suite cannot be spread.
    """
    option = spreading(flags)
    if option is not None:
        from localprompt.evaluate.spread import check_spreadable

        check_spreadable(suite, request, option)


def _report(planned: Planned, store: History, wanted: str, flags: EvalFlags) -> EvalResult:
    """Write the result where the user wants it, and where the suite does."""
    from localprompt.cli.eval_output import write_part_file, write_result
    from localprompt.evaluate.summarize import load_result
    from localprompt.views.files.eval import SUFFIXES
    from localprompt.views.messages import print_note

    result = load_result(planned.evaluation, store)
    if planned.evaluation.shard is not None:
        write_part_file(result, store, flags.output, quiet=flags.quiet, recorded=not flags.no_log)
        return result
    write_result(result, store, wanted, flags.output)
    if planned.evaluation.request.scoring == "batch" and not flags.quiet:
        for target in result.targets:
            if target.batch_bias:
                numbers = ", ".join(f"{c}: {v:.4f}" for c, v in target.batch_bias.items())
                print_note(
                    f"bias of {target.target.prompt} on {target.target.model.name}: {{{numbers}}}; "
                    "as metadata.localprompt.bias in the prompt file, run uses it, too"
                )
    for path in map(Path, planned.suite.outputs):
        if path.suffix in SUFFIXES:
            write_result(result, store, SUFFIXES[path.suffix], path)
        elif not flags.quiet:
            print_note(f"note: outputPath {path.name} is not written: {', '.join(SUFFIXES)} are")
    return result


def _check_part(number: int, where: str, flags: EvalFlags) -> None:
    """
    Args:
        where: the option that says that only a part is made.

    Raises:
        InputError: a part is asked for with what only the whole can have.
    """
    from localprompt.views.files.eval import SUFFIXES

    if flags.plan:
        return
    if flags.output is None:
        raise InputError(
            "the results of a part go into a file",
            where=where,
            next_step=f"-o part{number}.jsonl",
        )
    if flags.fail_if or flags.watch:
        raise InputError(
            "a part has no --fail-if and no --watch",
            where="--fail-if" if flags.fail_if else "--watch",
            next_step="--fail-if with runs merge",
        )
    wanted = flags.format or SUFFIXES.get(flags.output.suffix, "jsonl")
    if wanted != "jsonl":
        raise InputError(
            "a part is written as lines of JSON, for runs merge",
            where=f"-o {flags.output}" if flags.format is None else f"--format {wanted}",
            expected=f"-o part{number}.jsonl",
            next_step=f"localprompt runs merge part*.jsonl --format {wanted}, when all are there",
        )


def _watch(request: EvalRequest, store: History, models: Models, flags: EvalFlags) -> None:
    """Evaluate, and again after each change, until Ctrl-C."""
    from localprompt.cli.eval_output import write_flips
    from localprompt.evaluate.opening import begin
    from localprompt.evaluate.watch import Watcher, files_of
    from localprompt.views.messages import print_error, print_note

    before: EvalResult | None = None
    watcher = Watcher([Path(request.suite)])
    while True:
        try:
            planned = begin(request, store, only_failing=flags.filter_failing)
            watcher = Watcher(files_of(planned))
            if _carry_out(planned, store, models, flags):
                raise typer.Exit(EXIT_INTERRUPTED)
            result = _report(planned, store, "table", flags)
        except InputError as error:  # what is being written may be half-written
            print_error(error)
        else:
            if before is not None:
                write_flips(before.evaluation, result.evaluation, store)
            before = result
        print_note("waiting for a file of the suite to be saved; Ctrl-C ends")
        changed = watcher.wait()
        print_note(f"{', '.join(path.name for path in changed)} changed")


def _format(flags: EvalFlags) -> str:
    """``--format``, or what the name of ``-o`` says."""
    from localprompt.views.files.eval import SUFFIXES

    if flags.format is not None:
        return checked("--format", flags.format, FORMATS)
    return SUFFIXES.get(flags.output.suffix, "table") if flags.output else "table"


def enforce(result: EvalResult, conditions: list[Condition]) -> None:
    """
    Raises:
        ThresholdError: a --fail-if condition is met.
        UnknownNameError: it names a metric that the suite does not have.
    """
    from localprompt.evaluate.thresholds import met

    found = [text for condition in conditions for text in met(condition, result)]
    if found:
        raise ThresholdError(
            "a --fail-if condition is met",
            where=result.evaluation.title,
            found="; ".join(found),
            next_step=f"localprompt runs show {result.evaluation.id} --failures",
        )
