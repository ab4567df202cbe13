"""Progress of long work on stderr: a bar on a terminal, nothing elsewhere or with NO_COLOR."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class BytesProgress:
    """Draws a bar per stage; call it with (stage, done, total) in bytes, as often as you like."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done_bytes: int, total_bytes: int | None) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total_bytes)
        self._progress.update(self._tasks[stage], completed=done_bytes, total=total_bytes)


@contextmanager
def bytes_progress() -> Iterator[BytesProgress]:
    """A progress display that is gone, but for its last state, when the block ends."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=None),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal or console.no_color,
    ) as progress:
        yield BytesProgress(progress)


@contextmanager
def chunks_progress() -> Iterator[Callable[[int, int], None]]:
    """A bar of the chunks of a text that were read."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("reading"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal or console.no_color,
    ) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
