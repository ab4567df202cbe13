"""Where evaluations are written to: what ``eval``, ``runs show`` and ``compare`` share."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from localprompt.cli.output import console, output_file
from localprompt.errors import ThresholdError

if TYPE_CHECKING:
    from localprompt.records.evaluation import EvalResult, Evaluation
    from localprompt.store.evaluations import EvaluationStore


@contextmanager
def evaluation_store(*, log: bool) -> Iterator[EvaluationStore]:
    """The history; without ``log`` one that is gone afterwards."""
    from tempfile import TemporaryDirectory

    from localprompt.store.evaluations import EvaluationStore

    if log:
        with EvaluationStore() as store:
            yield store
        return
    with TemporaryDirectory() as folder, EvaluationStore(Path(folder) / "history.db") as store:
        yield store


def is_evaluation(reference: str) -> bool:
    """Whether this is the id, or the beginning of the id, of an evaluation; ``last`` is a run."""
    from localprompt.store.evaluations import EvaluationStore

    if reference.strip().startswith("last"):
        return False
    with EvaluationStore(read_only=True) as store:
        return store.kind_of(reference) == "eval"


def are_evaluations(a: str, b: str) -> bool:
    """Whether two references name evaluations. An id says it for both; ``last`` is of the kind
    that was made last."""
    from localprompt.store.evaluations import EvaluationStore

    named = [name for name in (a, b) if not name.strip().startswith("last")]
    with EvaluationStore(read_only=True) as store:
        return store.kind_of(named[0] if named else "last") == "eval"


def write_result(
    result: EvalResult, store: EvaluationStore, wanted: str, output: Path | None
) -> None:
    """The evaluation as a table or in an export's format, to stdout or a file."""
    from rich.console import Console

    from localprompt.views.eval_table import print_evaluation
    from localprompt.views.files.eval import EvalFormat, write_evaluation

    evaluation_id = result.evaluation.id
    with output_file(output) as stream:
        if wanted == "table":
            shown = console() if output is None else Console(file=stream, width=120)
            print_evaluation(result, store.results(evaluation_id, failures=True), shown)
        else:
            chosen = cast("EvalFormat", wanted)
            write_evaluation(result, lambda: store.results(evaluation_id), chosen, stream)


def show_evaluation(reference: str, *, failures: bool, json: bool = False) -> None:
    """A stored evaluation, or only what did not pass in it.

    Raises:
        UnknownNameError: there is none of that name.
    """
    from localprompt.evaluate.summarize import load_result
    from localprompt.records import json as record_json
    from localprompt.store.evaluations import EvaluationStore
    from localprompt.views.eval_table import print_failures
    from localprompt.views.messages import print_note

    with EvaluationStore(read_only=True) as store:
        evaluation = store.evaluation(reference)
        if not failures:
            wanted = "json" if json else "table"
            write_result(load_result(evaluation, store), store, wanted, None)
            return
        found = store.results(evaluation.id, failures=True)
        if json:
            for case in found:
                sys.stdout.write(record_json.encode(case).decode() + "\n")
        elif not print_failures(evaluation, found, console()):
            print_note(f"everything passed in {evaluation.title} ({evaluation.id})")


def write_flips(a: Evaluation, b: Evaluation, store: EvaluationStore) -> None:
    """What passed before and fails now, and the other way round."""
    from localprompt.evaluate.comparing import compare_evaluations
    from localprompt.views.eval_compare import print_flips

    print_flips(compare_evaluations(a, b, store), console())


def write_comparison(a: str, b: str, wanted: str, fail_if: Sequence[str] = ()) -> None:
    """Two stored evaluations side by side, as table, md or json.

    Raises:
        UnknownNameError: there is none of that name, or no such figure.
        InputError: a condition is none.
        ThresholdError: a condition is confirmed.
    """
    from localprompt.evaluate.comparing import compare_evaluations
    from localprompt.evaluate.thresholds import confirmed, parse_change
    from localprompt.store.evaluations import EvaluationStore
    from localprompt.views.eval_compare import (
        comparison_json,
        comparison_markdown,
        print_comparison,
    )

    changes = [parse_change(text) for text in fail_if]
    with EvaluationStore(read_only=True) as store:
        found = compare_evaluations(store.evaluation(a), store.evaluation(b), store)
    if wanted == "table":
        print_comparison(found, console())
    else:
        text = comparison_markdown if wanted == "md" else comparison_json
        sys.stdout.write(text(found))
    if shown := [line for change in changes for line in confirmed(change, found)]:
        raise ThresholdError("a condition is met that must not be", found="; ".join(shown))
