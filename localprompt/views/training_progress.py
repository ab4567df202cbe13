"""How a training goes, on stderr: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from localprompt.records.training import TrainingProgress
from localprompt.units import UNKNOWN, format_rate, format_seconds

_SECONDS_BETWEEN_LINES = 10.0

_DOING = {
    "unpack": "unpacking to 32-bit floats",
    "load": "opening",
    "train": "training",
    "holdout": "held-out examples",
    "save": "checkpoint",
    "publish": "hashing and quantizing",
}


def progress_text(now: TrainingProgress) -> str:
    """``epoch 2/3, loss 0.4312, 98.1 tok/s, 2 min 05 s left``."""
    loss = UNKNOWN if now.loss is None else f"{now.loss:.4f}"
    return (
        f"epoch {now.epoch}/{now.epochs}, loss {loss}, {format_rate(now.tokens_per_second)}, "
        f"{format_seconds(now.seconds_left)} left"
    )


@contextmanager
def training_progress(*, quiet: bool = False) -> Iterator[Callable[[TrainingProgress], None]]:
    """A function to tell progress to, while it is shown."""
    console = Console(stderr=True)
    if quiet:
        yield lambda _: None
    elif not console.is_terminal or console.no_color:
        yield _lines()
    else:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[standing]}"),
            console=console,
            transient=True,
        ) as progress:
            task = progress.add_task("", total=None, standing="")

            def show(now: TrainingProgress) -> None:
                progress.update(
                    task,
                    description=_DOING[now.stage],
                    completed=now.step,
                    total=now.steps,
                    standing=progress_text(now),
                )

            yield show


def _lines() -> Callable[[TrainingProgress], None]:
    told = time.monotonic()

    def show(now: TrainingProgress) -> None:
        nonlocal told
        if time.monotonic() - told >= _SECONDS_BETWEEN_LINES or now.stage == "save":
            told = time.monotonic()
            line = f"{now.step}/{now.steps} {_DOING[now.stage]}: {progress_text(now)}"
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    return show
