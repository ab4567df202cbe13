"""``localprompt compare``: what changed between two benches or evaluations, and whether that can
be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from localprompt.cli.options import REFERENCE_HELP
from localprompt.cli.output import checked, console
from localprompt.errors import InputError, ThresholdError
from localprompt.views.stream import data_out

if TYPE_CHECKING:
    from localprompt.bench.thresholds import Judgement
    from localprompt.records.bench import BenchComparison

DETAILS = (
    "A and B are benches, evaluations or runs; last and last~1 count what is of the other one's "
    "kind, or of the kind that was made last. Evaluations are paired case by case; one alone has "
    "every two of its models and prompts compared, or the two of --between. A verdict is "
    "given only where the 95 % interval of the difference excludes zero. --fail-if ends with "
    "exit code 1 where the interval confirms it: 'ttft_seconds > 5%', "
    "'decode_tokens_per_second < -5%', 'peak_rss_bytes > 20MiB'."
)
EXAMPLES = (
    "localprompt compare last~1 last",
    "localprompt compare 'last eval' --between 0.5b 1.5b",
    "localprompt compare last~1 last --fail-if 'ttft_seconds > 5%'",
)
FORMATS = ("table", "md", "json")

KINDS = ("bench", "eval", "ask", "run", "chat")


def command(
    a: Annotated[str, typer.Argument(metavar="A", help=REFERENCE_HELP)],
    b: Annotated[
        str | None,
        typer.Argument(metavar="B", help="Like A; without it, all pairs within the evaluation A."),
    ] = None,
    *,
    between: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--between",
            metavar="NAME NAME",
            help="Two models or prompts of one evaluation; a part of a name will do.",
        ),
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if", metavar="CONDITION", help="Such as 'ttft_seconds > 5%'; repeatable."
        ),
    ] = None,
    format: Annotated[  # noqa: A002
        str, typer.Option("--format", "-f", metavar="FORMAT", help="table, md or json.")
    ] = "table",
) -> None:
    """Compare two stored benches, evaluations or runs."""
    from localprompt.bench.comparing import compare_benches, load_bench_or_run
    from localprompt.bench.thresholds import check, judge
    from localprompt.cli.eval_output import write_comparison, write_within
    from localprompt.records.condition import parse_condition
    from localprompt.store.history import History

    checked("--format", format, FORMATS)
    conditions = [parse_condition(text) for text in fail_if or ()]
    if b is not None and between is not None:
        raise InputError(
            "--between is for one evaluation", where="--between", found=f"two: {a} and {b}"
        )
    with History(read_only=True) as history:
        if b is None:
            alone = history.find(a, ("eval",))
            write_within(alone.id, between, history, format, conditions)
            return
        one, other = history.find_both(a, b, KINDS)
        if one.kind == "eval":
            write_comparison(one.id, other.id, history, format, conditions)
            return
        check(conditions)
        comparison = compare_benches(
            load_bench_or_run(one, history), load_bench_or_run(other, history)
        )
        answers = [history.run(found.id) for found in (one, other) if found.is_run]
    _write(comparison, format)
    if len(answers) == 2 and format == "table":
        from localprompt.views.runs import print_answers

        print_answers(answers[0], answers[1], console())
    _enforce(list(judge(comparison, conditions)))


def _write(comparison: BenchComparison, wanted: str) -> None:
    from localprompt.views.bench_compare import (
        comparison_json,
        comparison_markdown,
        print_comparison,
    )

    if wanted == "table":
        print_comparison(comparison, console())
    else:
        text = comparison_markdown if wanted == "md" else comparison_json
        data_out().write(text(comparison))


def _enforce(judgements: Sequence[Judgement]) -> None:
    """
    Raises:
        ThresholdError: a condition is confirmed.
    """
    from localprompt.views.figures import label_text
    from localprompt.views.messages import print_note

    for judgement in judgements:
        if judgement.outcome == "cannot be judged":
            where = label_text(judgement.row.labels)
            print_note(f"{judgement.condition.text}: cannot be judged for {where}: too few samples")
    failed = [judgement for judgement in judgements if judgement.outcome == "fails"]
    if failed:
        raise ThresholdError(
            f"{len(failed)} of {len(judgements)} --fail-if conditions are met",
            found="; ".join(
                f"{judgement.condition.text} ({label_text(judgement.row.labels)})"
                for judgement in failed
            ),
        )
