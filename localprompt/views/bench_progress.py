"""What a bench is doing, on stderr: one bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from localprompt.views.figures import label_text

if TYPE_CHECKING:
    from localprompt.records.bench import Step

_DOING = {"memory": "memory of", "load": "load", "timing": "time", "failed": "failed:"}


@contextmanager
def bench_progress(*, quiet: bool = False) -> Iterator[Callable[[Step], None]]:
    """A function to tell steps to, while the bar is shown."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal or console.no_color,
    ) as progress:
        task = progress.add_task("", total=None)

        def show(step: Step) -> None:
            name = label_text(step.cell.labels) or step.cell.workload
            progress.update(
                task,
                description=escape(f"{_DOING[step.what]} {name}"),
                completed=step.done,
                total=step.expected,
            )

        yield show
