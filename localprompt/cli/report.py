"""``localprompt report``: stored results as Markdown or as one HTML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localprompt.errors import InputError, MachineError, UnknownNameError

if TYPE_CHECKING:
    from localprompt.experiments import BenchResult
    from localprompt.records import RunRecord
    from localprompt.store.experiments import ExperimentReader

DETAILS = (
    "IDs name benches or single runs: last, last~N, or an id; last is the last bench, or the last "
    "run where there is no bench. A file that ends in .md becomes Markdown, any other one HTML: a "
    "single file that fetches nothing and works from a USB stick."
)


def command(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="By default last.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Without it, Markdown on stdout."),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="The page's title.")] = None,
) -> None:
    """Write stored results as Markdown or as one self-contained HTML file."""
    from localprompt.store.experiments import ExperimentReader
    from localprompt.views.report import html_report, markdown_report

    benches: list[BenchResult] = []
    runs: list[RunRecord] = []
    with ExperimentReader() as history:
        for reference in ids or ["last"]:
            found = _find(reference, history)
            benches.extend(found[0])
            runs.extend(found[1])
    if output is None:
        sys.stdout.write(markdown_report(benches, runs, title))
        return
    make = markdown_report if output.suffix.lower() == ".md" else html_report
    _write(output, make(benches, runs, title))


def _find(reference: str, history: ExperimentReader) -> tuple[list[BenchResult], list[RunRecord]]:
    """The bench of that name, or else the run.

    Raises:
        UnknownNameError: neither is called so.
    """
    from localprompt.bench.loading import load_bench

    try:
        return [load_bench(reference, history)], []
    except UnknownNameError:
        return [], [history.get(reference)]


def _write(path: Path, text: str) -> None:
    from localprompt.views.messages import print_note

    try:
        path.write_text(text, encoding="utf-8")
    except IsADirectoryError as error:
        raise InputError("this is a folder", where=str(path), expected="a file") from error
    except OSError as error:
        raise MachineError(
            "the report cannot be written", where=str(path), found=error.strerror
        ) from error
    print_note(f"wrote {path}")
