"""``localprompt runs``: what was run and measured."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from localprompt.cli.help import Commands
from localprompt.cli.options import (
    REFERENCE_HELP,
    EvaluationFormat,
    JsonOption,
    OutputOption,
    format_option,
    takes,
)
from localprompt.cli.output import checked, console, format_of, output_file
from localprompt.cli.repeat import repeat
from localprompt.errors import InputError
from localprompt.views.stream import data_out

if TYPE_CHECKING:
    from localprompt.records.run import RunRecord
    from localprompt.store.experiments import Kept, Listed
    from localprompt.store.history import History
    from localprompt.store.search import Filter

app = Commands()
EXAMPLES = (
    "localprompt runs list",
    "localprompt runs show last",
    "localprompt runs export -o runs.csv",
)

FormatChoice = Annotated[
    str | None, format_option("csv, json, jsonl or md; by default what -o FILE ends in, or jsonl.")
]
TagsArgument = Annotated[list[str], typer.Argument(metavar="TAG...", help="One word each.")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilterFlags:
    """Which of what is stored is meant; conditions add up."""

    grep: Annotated[
        str | None,
        typer.Option(
            "--grep",
            "-g",
            metavar="WORDS",
            help="Only where the prompt or the answer matches this regular expression.",
        ),
    ] = None
    kind: Annotated[
        str | None, typer.Option("--kind", help="Only ask, run, bench, eval, tune, …")
    ] = None
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="MODEL", help="Only this model.")
    ] = None
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="PROMPT", help="Only this prompt.")
    ] = None
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", help="A date (2026-11-22) or an age (90m, 7d)."),
    ] = None
    tag: Annotated[str | None, typer.Option("--tag", metavar="TAG", help="Only with this tag.")] = (
        None
    )

    def filter(self) -> Filter:
        """
        Raises:
            InputError: no such kind, no such time, or not a regular expression.
        """
        from localprompt.store.history import KINDS
        from localprompt.store.search import Filter

        where = Filter(
            kind=None if self.kind is None else checked("--kind", self.kind, KINDS),
            model=self.model,
            prompt=self.prompt,
            since=None if self.since is None else _moment("--since", self.since),
            tag=self.tag,
            grep=self.grep,
        )
        _ = where.pattern
        return where


@app.command(
    "list",
    examples=(
        "localprompt runs list",
        "localprompt runs list --grep invoice --since 7d",
        "localprompt runs list --kind eval --model smollm2-135m -n 5",
    ),
)
@takes(FilterFlags)
def list_runs(
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=1, help="At most this many.")
    ] = 20,
    *,
    flags: FilterFlags,
) -> None:
    """List what was made, newest first: runs, benches, evaluations, tunings, …

    The repetitions of a bench are not listed one by one; 'runs show ID' shows the bench.
    """
    import msgspec

    from localprompt.store.history import EXPERIMENTS, RUNS, History
    from localprompt.store.search import EVERYTHING
    from localprompt.store.under_way import under_way
    from localprompt.views.messages import print_error, print_note
    from localprompt.views.runs import print_run_list

    where, kinds = flags.filter(), (*RUNS, *EXPERIMENTS)
    wanted = kinds if where.kind is None else (where.kind,)
    found: list[RunRecord | Listed] = []
    with History(read_only=True) as history:
        for kind in wanted:
            one = msgspec.structs.replace(where, kind=kind)
            if kind in RUNS:
                found += history.runs(one, limit=limit, unreadable=print_error)
        found += history.listed(
            [kind for kind in wanted if kind in EXPERIMENTS], where, limit=limit
        )
    found.sort(key=lambda one: one.id, reverse=True)
    for now in under_way():
        print_note(f"running now: {now.text}")
    if print_run_list(found[:limit], console()):
        return
    if where == EVERYTHING:
        print_note("nothing yet; make a run with:  localprompt ask 'Name a colour.'")
    else:
        print_note("nothing matches; see all:  localprompt runs list")


@app.command(
    "tag",
    examples=(
        "localprompt runs tag last good",
        "localprompt runs tag last~1 baseline release-3",
        "localprompt runs tag last good --remove",
    ),
)
def tag(
    reference: Annotated[str, typer.Argument(metavar="ID", help=REFERENCE_HELP)],
    tags: TagsArgument,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the tags.")] = False,
) -> None:
    """Give a run, a bench, an evaluation, … tags to find it by."""
    from localprompt.store.history import History
    from localprompt.views.harmless import harmless

    for one in tags:
        if not one.isprintable() or not one or " " in one:
            raise InputError("not a tag", where=repr(one), expected="one word that can be printed")
    with History() as history:
        found = history.find(reference)
        history.tag(found.id, tags, remove=remove)
        has = history.tags_of(found.id)
    typer.echo(harmless(f"{found.id}: {', '.join(has) or 'no tags'}"))


@app.command(
    "show",
    examples=(
        "localprompt runs show last",
        "localprompt runs show last~1 --json",
        "localprompt runs show 'last eval' --failures",
    ),
)
def show(
    reference: Annotated[str, typer.Argument(metavar="ID", help=REFERENCE_HELP)],
    json: JsonOption = False,
    failures: Annotated[
        bool, typer.Option("--failures", help="Show only what failed in an evaluation.")
    ] = False,
) -> None:
    """Show everything that was recorded about a run, a bench, an evaluation, a tuning, …"""
    from localprompt.bench.comparing import load_bench
    from localprompt.cli.bench import write_bench
    from localprompt.cli.eval_output import show_evaluation
    from localprompt.records import json as record_json
    from localprompt.records.run import RunRecord
    from localprompt.store.history import KINDS, History
    from localprompt.views.runs import print_run

    with History(read_only=True) as history:
        found = history.find(reference, ("eval",) if failures else KINDS)
        if not found.is_run and found.kind == "eval":
            show_evaluation(found.id, history, failures=failures, json=json)
        elif not found.is_run and found.kind == "bench":
            write_bench(load_bench(found.id, history), "json" if json else "table", None)
        else:
            record = history.run(found.id) if found.is_run else history.kept(found.id, found.kind)
            if json:
                data_out().write(record_json.encode(record).decode() + "\n")
            elif isinstance(record, RunRecord):
                print_run(record, console())
            else:
                _print_kept(record, history)


def _print_kept(kept: Kept, history: History) -> None:
    from localprompt.choose.running import load_choice
    from localprompt.views.choose import print_choice
    from localprompt.views.improve import print_improvement
    from localprompt.views.quality import print_quality
    from localprompt.views.training import print_training
    from localprompt.views.tune import print_tuning

    if kept.kind == "quality":
        print_quality(kept, console())
    elif kept.kind == "finetune":
        print_training(kept, console())
    elif kept.kind == "improve":
        print_improvement(kept, console())
    elif kept.kind == "choose":
        print_choice(load_choice(kept, history), console())
    else:
        print_tuning(kept, console())


app.command(
    "repeat",
    examples=(
        "localprompt runs repeat",
        "localprompt runs repeat last~1",
        "localprompt runs repeat last --no-log",
    ),
)(repeat)


@app.command(
    "export",
    examples=(
        "localprompt runs export -o runs.csv",
        "localprompt runs export -n 3 -f md",
        "localprompt runs export --since 2026-11-22 --model smollm2-135m > runs.jsonl",
    ),
)
@takes(FilterFlags)
def export(
    format: FormatChoice = None,  # noqa: A002
    output: OutputOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="Only the newest N.")
    ] = None,
    *,
    flags: FilterFlags,
) -> None:
    """Write stored runs, repetitions of benches included, oldest first."""
    from localprompt.store.history import History
    from localprompt.views.files.rows import ExportFormat
    from localprompt.views.files.runs import write_runs
    from localprompt.views.messages import print_error

    chosen = format_of(format, output, ("jsonl", *get_args(ExportFormat)))
    where = flags.filter()
    with History(read_only=True) as history, output_file(output) as stream:
        found = history.runs(where, limit=limit, oldest_first=True, unreadable=print_error)
        write_runs(found, cast("ExportFormat", chosen), stream)


@app.command(
    "stats",
    examples=(
        "localprompt runs stats",
        "localprompt runs stats > stats.txt",
        "localprompt runs stats && localprompt runs list -n 5",
    ),
)
def stats() -> None:
    """Say how many runs are stored and how much room they take."""
    from localprompt.store.history import History
    from localprompt.units import format_bytes

    with History(read_only=True) as history:
        found = history.stats()
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.runs_by_kind.items())
    lines = {
        "history": found.path,
        "runs": f"{found.runs}" + (f" ({kinds})" if kinds else ""),
        "machines": f"{found.machines}",
        "first": found.first_created_at or "–",
        "last": found.last_created_at or "–",
        "on disk": f"{format_bytes(found.file_bytes)} (records "
        f"{format_bytes(found.record_bytes)}, samples {format_bytes(found.sample_bytes)})",
    }
    for name, value in lines.items():
        typer.echo(f"{name:<10}{value}")


@app.command(
    "merge",
    examples=(
        "localprompt runs merge part1.jsonl part2.jsonl",
        "localprompt runs merge part*.jsonl -o whole.csv",
        "localprompt runs merge part*.jsonl --fail-if 'pass_rate < 0.9'",
    ),
)
def merge(
    parts: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="All parts, of eval --shard.")
    ],
    fail_if: Annotated[
        list[str] | None,
        typer.Option("--fail-if", metavar="CONDITION", help="The same as for eval; repeatable."),
    ] = None,
    format: EvaluationFormat = None,  # noqa: A002
    output: OutputOption = None,
    no_log: Annotated[
        bool, typer.Option("--no-log", help="Do not record it in the history.")
    ] = False,
) -> None:
    """Merge the parts of an evaluation that were made with eval --shard."""
    from localprompt.cli.eval import FORMATS, enforce
    from localprompt.cli.eval_output import evaluation_store, write_result
    from localprompt.evaluate.merging import merge as merge_parts
    from localprompt.evaluate.summarize import load_result
    from localprompt.records.condition import parse_condition
    from localprompt.views.messages import print_note

    wanted = format_of(format, output, ("table", *FORMATS))
    conditions = [parse_condition(text) for text in fail_if or ()]
    with evaluation_store(log=not no_log) as history:
        whole = merge_parts(parts, history)
        result = load_result(whole, history)
        write_result(result, history, wanted, output)
    if wanted != "table" or output is not None:  # or the table has said it
        print_note(f"note: {whole.notes[-1]}")
    enforce(result, conditions)


@app.command(
    "prune",
    examples=(
        "localprompt runs prune --older-than 30d --dry-run",
        "localprompt runs prune --grep secret --dry-run",
        "localprompt runs prune --cache",
    ),
)
@takes(FilterFlags)
def prune(
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="AGE", help="Such as 30d or 12h.")
    ] = None,
    keep_last: Annotated[
        int | None, typer.Option("--keep-last", min=0, help="Keep only this many, the newest.")
    ] = None,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache",
            help="Delete kept prefixes, too; with --older-than those not used since. Alone: "
            "only them.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be deleted.")
    ] = False,
    *,
    flags: FilterFlags,
) -> None:
    """Delete stored runs, or kept prefixes. Their text is gone from disk afterwards."""
    from localprompt.store.search import EVERYTHING

    where = flags.filter()
    age = None if older_than is None else _moment("--older-than", older_than)
    if not cache or older_than is not None or keep_last is not None or where != EVERYTHING:
        _prune_history(age, keep_last, where, dry_run=dry_run)
    if cache:
        _prune_prefixes(age, dry_run=dry_run)


def _prune_history(
    age: datetime | None, keep_last: int | None, where: Filter, *, dry_run: bool
) -> None:
    from localprompt.running.prefix.store import forget_turns
    from localprompt.store.pruning import prune as prune_history
    from localprompt.units import format_bytes

    done = prune_history(older_than=age, keep_last=keep_last, where=where, dry_run=dry_run)
    if done.runs and not dry_run:
        forget_turns()
    verb = "would delete" if dry_run else "deleted"
    typer.echo(f"{verb} {done.runs} run{'' if done.runs == 1 else 's'}, {done.runs_left} left")
    if done.evaluations:
        typer.echo(f"{verb} {done.evaluations} evaluation{'' if done.evaluations == 1 else 's'}")
    if done.others:
        typer.echo(f"{verb} {done.others} other result{'' if done.others == 1 else 's'} (tune, …)")
    if not dry_run and (done.runs or done.evaluations or done.others):
        typer.echo(f"freed {format_bytes(done.freed_bytes)}")


def _prune_prefixes(age: datetime | None, *, dry_run: bool) -> None:
    from localprompt.running.prefix.store import prune as prune_prefixes
    from localprompt.units import format_bytes

    done = prune_prefixes(older_than=age, dry_run=dry_run)
    verb, freed = ("would delete", "would free") if dry_run else ("deleted", "freed")
    typer.echo(
        f"{verb} {done.prefixes} kept prefix{'' if done.prefixes == 1 else 'es'}, "
        f"{done.prefixes_left} left; {freed} {format_bytes(done.freed_bytes)}"
    )


def _moment(option: str, text: str) -> datetime:
    """``7d``, ``12h`` or ``90m`` ago, or a date; UTC."""
    units = {"m": "minutes", "h": "hours", "d": "days"}
    if text[-1:] in units and text[:-1].isdecimal():
        return datetime.now(UTC) - timedelta(**{units[text[-1]]: int(text[:-1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            "not a date or an age",
            where=option,
            expected="2026-11-22, 2026-11-22T14:00, 90m, 12h or 7d",
            found=text,
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
