"""``localprompt report``: stored results as Markdown or as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from localprompt.cli.options import REFERENCE_HELP
from localprompt.errors import InputError, MachineError
from localprompt.views.stream import data_out

if TYPE_CHECKING:
    from localprompt.records.bench import BenchResult
    from localprompt.records.choice import ChoiceResult
    from localprompt.records.evaluation import Evaluation
    from localprompt.records.improvement import Improvement
    from localprompt.records.run import RunRecord
    from localprompt.store.history import History

DETAILS = (
    "IDs are those of benches, evaluations and single runs. A file that ends in .md becomes "
    "Markdown, any other one HTML: a single file that fetches nothing and works from a USB stick."
)
EXAMPLES = (
    "localprompt report -o report.html",
    "localprompt report last~1 last -o both.md",
    "localprompt report 'last eval' --against 'last~1 eval' -o changes.html",
)
_DATA = {".csv", ".json", ".jsonl", ".xml"}
KINDS = ("bench", "eval", "choose", "improve", "ask", "run", "chat")


class _Found(msgspec.Struct):
    """What the ids name, by kind."""

    benches: list[BenchResult] = []
    evaluations: list[Evaluation] = []
    choices: list[ChoiceResult] = []
    improvements: list[Improvement] = []
    runs: list[RunRecord] = []


def command(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="By default last. " + REFERENCE_HELP),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Without it, Markdown on stdout."),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="The page's title.")] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="An earlier evaluation: what flipped since, and both prompts.",
        ),
    ] = None,
    lang: Annotated[
        str | None,
        typer.Option(
            "--lang", metavar="LANG", help="Language of the page: en or pt-BR; by default yours."
        ),
    ] = None,
) -> None:
    """Write stored results as one HTML page, or Markdown."""
    from localprompt.evaluate.reporting import load_report
    from localprompt.store.history import History
    from localprompt.views import translation
    from localprompt.views.language import Language
    from localprompt.views.report import html_report, markdown_report

    if lang is not None:
        translation.speak_code(Language(lang).code)
    if output is not None and output.suffix.lower() in _DATA:
        raise InputError(
            "a report is HTML or Markdown",
            where="--output",
            expected="a name that ends in .html or .md",
            found=output.name,
            next_step=f"localprompt runs export -o {output.name}",
        )
    found = _Found()
    with History(read_only=True) as history:
        for reference in ids or ["last"]:
            _find(reference, history, found)
        earlier = None if against is None else _earlier(against, found.evaluations, history)
        evaluations = [load_report(one, history, earlier) for one in found.evaluations]
    html = output is not None and output.suffix.lower() != ".md"
    make = html_report if html else markdown_report
    text = make(found.benches, found.runs, title, evaluations, found.improvements, found.choices)
    if output is None:
        data_out().write(text)
    else:
        _write(output, text)


def _find(reference: str, history: History, found: _Found) -> None:
    """Add what is called so.

    Raises:
        UnknownNameError: nothing is.
    """
    from localprompt.bench.comparing import load_bench
    from localprompt.choose.running import load_choice

    named = history.find(reference, KINDS)
    if named.is_run:
        found.runs.append(history.run(named.id))
    elif named.kind == "choose":
        found.choices.append(load_choice(history.choice(named.id), history))
    elif named.kind == "improve":
        found.improvements.append(history.improvement(named.id))
    elif named.kind == "eval":
        found.evaluations.append(history.evaluation(named.id))
    else:
        found.benches.append(load_bench(named.id, history))


def _earlier(reference: str, evaluations: list[Evaluation], store: History) -> Evaluation:
    """The evaluation that ``--against`` names; ``last`` counts evaluations.

    Raises:
        InputError: there is not just one other evaluation to hold it against.
        UnknownNameError: there is none of that name.
    """
    if len(evaluations) != 1:
        raise InputError(
            "--against needs one evaluation to compare with",
            where="--against",
            expected="the id of one evaluation, or 'last eval'",
            found=f"{len(evaluations)} evaluations",
        )
    earlier = store.evaluation(reference)
    if earlier.id == evaluations[0].id:
        raise InputError(
            "this is the same evaluation",
            where="--against",
            expected="an earlier one, as last~1",
            found=reference,
        )
    return earlier


def _write(path: Path, text: str) -> None:
    from localprompt.files import written_whole
    from localprompt.records.json import well_formed
    from localprompt.views.messages import print_note

    try:
        with written_whole(path) as file:
            file.write(well_formed(text))
    except IsADirectoryError as error:
        raise InputError("this is a folder", where=str(path), expected="a file") from error
    except OSError as error:
        raise MachineError(
            "the report cannot be written", where=str(path), found=error.strerror
        ) from error
    print_note(f"wrote {path}")
