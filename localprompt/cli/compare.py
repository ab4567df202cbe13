"""``localprompt compare``: what changed between two benches or evaluations, and whether that can
be told."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from localprompt.cli.output import checked, console
from localprompt.errors import ThresholdError

if TYPE_CHECKING:
    from localprompt.bench.thresholds import Judgement
    from localprompt.records.bench import BenchComparison

DETAILS = (
    "A and B are benches or evaluations: last, last~1, or an id; the id of a single run works too. "
    "last is of the kind that was made last. Evaluations are paired case by case. A verdict is "
    "given only where the 95 % interval of the difference leaves out zero. --fail-if ends with "
    "exit code 1 where the interval confirms it: 'ttft_seconds > 5%', "
    "'decode_tokens_per_second < -5%', 'peak_rss_bytes > 20MiB'."
)
FORMATS = ("table", "md", "json")

_NAMES = "last, last~N, or an id."


def command(
    a: Annotated[str, typer.Argument(metavar="A", help=_NAMES)],
    b: Annotated[str, typer.Argument(metavar="B", help=_NAMES)],
    *,
    fail_if: Annotated[
        list[str] | None,
        typer.Option("--fail-if", metavar="CONDITION", help="As 'ttft_seconds > 5%'; repeatable."),
    ] = None,
    format: Annotated[  # noqa: A002
        str, typer.Option("--format", "-f", metavar="FORMAT", help="table, md or json.")
    ] = "table",
) -> None:
    """Compare two stored benches or evaluations."""
    from localprompt.bench.comparing import compare_benches, load_bench_or_run
    from localprompt.bench.thresholds import judge, parse_threshold
    from localprompt.cli.eval_output import are_evaluations, write_comparison
    from localprompt.store.experiments import ExperimentReader

    checked("--format", format, FORMATS)
    if are_evaluations(a, b):
        write_comparison(a, b, format, fail_if or ())
        return
    thresholds = [parse_threshold(text) for text in fail_if or ()]
    with ExperimentReader() as history:
        comparison = compare_benches(load_bench_or_run(a, history), load_bench_or_run(b, history))
    _write(comparison, format)
    _enforce(list(judge(comparison, thresholds)))


def _write(comparison: BenchComparison, wanted: str) -> None:
    from localprompt.views.compare_table import (
        comparison_json,
        comparison_markdown,
        print_comparison,
    )

    if wanted == "table":
        print_comparison(comparison, console())
    else:
        text = comparison_markdown if wanted == "md" else comparison_json
        sys.stdout.write(text(comparison))


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
            print_note(f"{judgement.threshold.text}: cannot be judged for {where}: too few samples")
    failed = [judgement for judgement in judgements if judgement.outcome == "fails"]
    if failed:
        raise ThresholdError(
            f"{len(failed)} of {len(judgements)} conditions are met that must not be",
            found="; ".join(
                f"{judgement.threshold.text} ({label_text(judgement.row.labels)})"
                for judgement in failed
            ),
        )
