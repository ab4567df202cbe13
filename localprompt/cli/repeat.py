"""``localprompt runs repeat``: the same run once more, and whether it says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from localprompt.cli.options import REFERENCE_HELP, NoLogOption
from localprompt.errors import EXIT_THRESHOLD

if TYPE_CHECKING:
    from localprompt.records.run import RunRecord


def repeat(
    reference: Annotated[
        str, typer.Argument(metavar="[ID]", help=f"By default last. {REFERENCE_HELP}")
    ] = "last",
    no_log: NoLogOption = False,
) -> None:
    """Run a stored run again, exactly, and say whether the answer is the same.

    Exit code 1 where it is not, with what is different: the build, the CPU, a setting, the prompt.
    """
    from localprompt.running.again import repeat_cell
    from localprompt.running.run import run_one
    from localprompt.store.history import RUNS, History
    from localprompt.views.messages import print_error, print_warnings

    with History(read_only=True) as history:
        before = history.run(history.find(reference, RUNS).id)
    outcome = run_one(repeat_cell(before), log=not no_log)
    if outcome.execution.failure is not None:
        raise outcome.execution.failure
    if outcome.not_recorded is not None:
        print_error(outcome.not_recorded)
    now = outcome.execution.record
    print_warnings(now.warnings)
    typer.echo(_verdict(before, now))
    same_prompt = before.prompt.token_ids_sha256 == now.prompt.token_ids_sha256
    if before.output.text != now.output.text or not same_prompt:
        raise typer.Exit(EXIT_THRESHOLD)


def _verdict(before: RunRecord, now: RunRecord) -> str:
    from localprompt.running.again import differences

    found = list(differences(before, now))
    same_prompt = before.prompt.token_ids_sha256 == now.prompt.token_ids_sha256
    lines = [
        f"{before.id} again: the prompt's tokens are "
        + ("the same" if same_prompt else "not the same")
    ]
    was, is_ = before.output.text, now.output.text
    if was == is_:
        lines.append(f"the answer is the same ({now.tokens.completion} tokens)")
    else:
        at = next((n for n, (a, b) in enumerate(zip(was, is_, strict=False)) if a != b), None)
        at = min(len(was), len(is_)) if at is None else at
        lines.append(f"the answer differs from character {at + 1} on:")
        lines += [f"  before: {was[at : at + 60]!r}", f"  now:    {is_[at : at + 60]!r}"]
    if found:
        lines.append("different: " + "; ".join(found))
    elif was != is_:
        lines.append("nothing that is recorded is different")
    return "\n".join(lines)
