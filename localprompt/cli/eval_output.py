"""Where evaluations are written to: what ``eval``, ``runs show`` and ``compare`` share."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from localprompt.cli.output import console, output_file
from localprompt.errors import InputError, MachineError, ThresholdError
from localprompt.views.stream import data_out

if TYPE_CHECKING:
    from localprompt.records.condition import Condition
    from localprompt.records.evaluation import EvalComparison, EvalResult, Evaluation
    from localprompt.store.history import History


@contextmanager
def evaluation_store(*, log: bool) -> Iterator[History]:
    """The history; without ``log`` one that is gone afterwards."""
    from tempfile import TemporaryDirectory

    from localprompt.store.history import History

    if log:
        with History() as store:
            yield store
        return
    with TemporaryDirectory() as folder, History(Path(folder) / "history.db") as store:
        yield store


def write_result(result: EvalResult, store: History, wanted: str, output: Path | None) -> None:
    """The evaluation as a table or in an export's format, to stdout or a file."""
    from localprompt.views.eval import print_evaluation
    from localprompt.views.files.eval import EvalFormat, write_evaluation
    from localprompt.views.terminal import Terminal

    evaluation_id = result.evaluation.id
    with output_file(output) as stream:
        if wanted == "table":
            shown = console() if output is None else Terminal(file=stream, width=120)
            print_evaluation(result, store.results(evaluation_id, failures=True), shown)
        else:
            chosen = cast("EvalFormat", wanted)
            write_evaluation(result, lambda: store.results(evaluation_id), chosen, stream)


def write_part_file(
    result: EvalResult, store: History, output: Path | None, *, quiet: bool, recorded: bool
) -> None:
    """A part of an evaluation for ``runs merge``, and what to do next with it.

    Args:
        recorded: its results are in the history.

    Raises:
        MachineError: the file cannot be written.
    """
    from localprompt.evaluate.shards import write_part
    from localprompt.views.messages import print_note
    from localprompt.views.translation import translated

    evaluation, shard = result.evaluation, result.evaluation.shard
    assert shard is not None  # noqa: S101  it is a part
    again = f"localprompt eval --resume {evaluation.id} -o"
    try:
        with output_file(output) as stream:
            write_part(evaluation, store, stream)
    except MachineError as error:
        if recorded:
            error.next_step = translated(f"its results are kept; elsewhere:  {again} FILE")
        raise
    if quiet:
        return
    if result.complete:
        print_note(
            f"part {shard.number} of {shard.of}: {evaluation.cases} of {shard.cases} "
            "cases; when all are there:  localprompt runs merge FILE..."
        )
    else:
        done = sum(summary.done for summary in result.targets)
        print_note(
            f"part {shard.number} of {shard.of} is incomplete: "
            f"{done} of {evaluation.results} results"
        )
        if recorded:
            print_note(f"go on with:  {again} {shlex.quote(str(output))}")


def show_evaluation(evaluation_id: str, store: History, *, failures: bool, json: bool) -> None:
    """A stored evaluation, or only what did not pass in it."""
    from localprompt.evaluate.summarize import load_result
    from localprompt.records import json as record_json
    from localprompt.views.eval import print_failures
    from localprompt.views.messages import print_note

    evaluation = store.evaluation(evaluation_id)
    if not failures:
        write_result(load_result(evaluation, store), store, "json" if json else "table", None)
        return
    found = store.results(evaluation.id, failures=True)
    if json:
        for case in found:
            data_out().write(record_json.encode(case).decode() + "\n")
    elif not print_failures(evaluation, found, console()):
        print_note(f"everything passed in {evaluation.title} ({evaluation.id})")


def write_flips(a: Evaluation, b: Evaluation, store: History) -> None:
    """What passed before and fails now, and the other way round."""
    from localprompt.evaluate.comparing import compare_evaluations
    from localprompt.views.eval_compare import print_flips

    print_flips(compare_evaluations(a, b, store), console())


def write_comparison(
    a: str, b: str, store: History, wanted: str, conditions: Sequence[Condition]
) -> None:
    """Two stored evaluations, by their ids, side by side, as table, md or json.

    Raises:
        UnknownNameError: there is no such figure.
        InputError: a condition has a unit.
        ThresholdError: a condition is confirmed.
    """
    from localprompt.evaluate.comparing import compare_evaluations

    found = compare_evaluations(store.evaluation(a), store.evaluation(b), store)
    _write_comparison(found, wanted, conditions)


def write_within(
    evaluation_id: str,
    between: tuple[str, str] | None,
    store: History,
    wanted: str,
    conditions: Sequence[Condition],
) -> None:
    """Every two targets of one evaluation, or those two.

    Raises:
        InputError: it has only one target, or both names are of the same one.
        UnknownNameError: no target is called so, or more than one.
        ThresholdError: a condition is confirmed.
    """
    from localprompt.evaluate.comparing import compare_evaluations, compare_targets, find_target

    evaluation = store.evaluation(evaluation_id)
    if len(evaluation.targets) < 2:
        raise InputError(
            "this evaluation has one model with one prompt: nothing to compare",
            where=evaluation.id,
            next_step=f"localprompt compare {evaluation.id} OTHER",
        )
    if between is None:
        found = compare_evaluations(evaluation, evaluation, store)
    else:
        a, b = (find_target(evaluation, name) for name in between)
        if a == b:
            raise InputError(
                "both names are of the same model and prompt",
                where="--between",
                expected=", ".join(one.model.name for one in evaluation.targets),
                found=" ".join(between),
            )
        found = compare_targets(evaluation, a, b, store)
    _write_comparison(found, wanted, conditions)


def _write_comparison(found: EvalComparison, wanted: str, conditions: Sequence[Condition]) -> None:
    from localprompt.evaluate.thresholds import confirmed
    from localprompt.views.eval_compare import (
        comparison_json,
        comparison_markdown,
        print_comparison,
    )

    if wanted == "table":
        print_comparison(found, console())
    else:
        text = comparison_markdown if wanted == "md" else comparison_json
        data_out().write(text(found))
    if shown := [line for one in conditions for line in confirmed(one, found)]:
        raise ThresholdError("a --fail-if condition is met", found="; ".join(shown))
