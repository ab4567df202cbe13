"""Progress of long work on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, Protocol

from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from localprompt.records.bench import Step
from localprompt.records.training import TrainingProgress
from localprompt.units import UNKNOWN, format_rate, format_seconds
from localprompt.views.figures import label_text
from localprompt.views.harmless import harmless
from localprompt.views.terminal import Terminal
from localprompt.views.translation import to_translate, translated

_SECONDS_BETWEEN_LINES = 10.0
_STANDING = TextColumn("{task.fields[standing]}")


_BYTES_STAGES = {
    "download": to_translate("download"),
    "unpack": to_translate("unpack"),
    "copy": to_translate("copy"),
    "verify": to_translate("verify"),
    "quantize": to_translate("quantize"),
    "bundle": to_translate("bundle"),
}


class BytesProgress:
    """Draws a bar per stage; call it with (stage, done, total) in bytes, as often as you like."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done_bytes: int, total_bytes: int | None) -> None:
        if stage not in self._tasks:
            word = translated(_BYTES_STAGES.get(stage, stage))
            self._tasks[stage] = self._progress.add_task(word, total=total_bytes)
        self._progress.update(self._tasks[stage], completed=done_bytes, total=total_bytes)


@contextmanager
def bytes_progress() -> Iterator[BytesProgress]:
    """A progress display that is gone, but for its last state, when the block ends."""
    console = Terminal(stderr=True)
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


class Shown(NamedTuple):
    """What a bar shows."""

    doing: str
    done: int
    total: int | None
    standing: str = ""
    urgent: bool = False
    """Told at once where lines stand for the bar."""


Show = Callable[[Shown], None]


@contextmanager
def _bar(last: ProgressColumn, *, quiet: bool = False, lines: bool = False) -> Iterator[Show]:
    """A bar on a terminal; elsewhere a line now and then, or nothing."""
    console = Terminal(stderr=True)
    plain = not console.is_terminal or console.no_color
    if quiet or plain:
        yield _lines() if lines and not quiet else lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), last)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, standing="")

        def show(now: Shown) -> None:
            progress.update(
                task,
                description=escape(translated(now.doing)),
                completed=now.done,
                total=now.total,
                standing=escape(translated(now.standing)),
            )

        yield show


def _lines() -> Show:
    told = time.monotonic()

    def show(now: Shown) -> None:
        nonlocal told
        if now.urgent or time.monotonic() - told >= _SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            doing, standing = translated(now.doing), translated(now.standing)
            say_progress(f"{now.done}/{now.total} {doing}: {standing}")

    return show


def say_progress(line: str) -> None:
    """A line of progress on stderr."""
    print(harmless(line), file=sys.stderr, flush=True)  # noqa: T201


def chunks_progress() -> AbstractContextManager[Callable[[int, int], None]]:
    """A bar of the chunks of a text that were read."""
    return _counting("reading")


def rows_progress(*, quiet: bool = False) -> AbstractContextManager[Callable[[int, int], None]]:
    """A bar of the rows of a table that are answered."""
    return _counting("rows", quiet=quiet)


@contextmanager
def _counting(word: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    with _bar(TimeRemainingColumn(), quiet=quiet) as show:
        yield lambda done, total: show(Shown(word, done, total))


_BENCH_STEPS = {
    "memory": to_translate("memory of"),
    "load": to_translate("load"),
    "timing": to_translate("time"),
    "failed": to_translate("failed:"),
}


@contextmanager
def bench_progress(*, quiet: bool = False) -> Iterator[Callable[[Step], None]]:
    """A function to tell steps to, while the bar is shown."""
    with _bar(TimeRemainingColumn(), quiet=quiet) as show:

        def step(now: Step) -> None:
            name = label_text(now.cell.labels) or now.cell.workload
            show(Shown(f"{translated(_BENCH_STEPS[now.what])} {name}", now.done, now.expected))

        yield step


class Standing(Protocol):
    """What is shown; see localprompt.evaluate.runner.EvalProgress."""

    @property
    def doing(self) -> str: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def passed(self) -> int: ...
    @property
    def scored(self) -> int: ...
    @property
    def cached(self) -> int: ...


def standing_text(now: Standing, begun_with: int, elapsed_seconds: float) -> str:
    """``12.3/s, 8.1 s left, 87 % passed``.

    Args:
        begun_with: results that were there when the clock was started.
    """
    made = now.done - begun_with
    rate = made / elapsed_seconds if elapsed_seconds > 0 and made else None
    left = None if rate is None else (now.total - now.done) / rate
    passed = f"{now.passed / now.scored:.0%}" if now.scored else UNKNOWN
    pace = f"{rate:.1f}/s" if rate else UNKNOWN
    return to_translate(f"{pace}, {format_seconds(left)} left, {passed} passed")


@contextmanager
def eval_progress(*, quiet: bool = False) -> Iterator[Callable[[Standing], None]]:
    """A function to tell progress to, while it is shown."""
    began = time.monotonic()
    before: int | None = None
    with _bar(_STANDING, quiet=quiet, lines=True) as show:

        def tell(now: Standing) -> None:
            nonlocal before
            before = now.done if before is None else before
            standing = standing_text(now, before, time.monotonic() - began)
            show(Shown(now.doing, now.done, now.total, standing))

        yield tell


_TRAINING_STAGES = {
    "unpack": to_translate("unpacking to 32-bit floats"),
    "load": to_translate("opening"),
    "train": to_translate("training"),
    "holdout": to_translate("held-out examples"),
    "save": to_translate("checkpoint"),
    "publish": to_translate("hashing and quantizing"),
}


def progress_text(now: TrainingProgress) -> str:
    """``epoch 2/3, loss 0.4312, 98.1 tok/s, 2 min 05 s left``."""
    loss = UNKNOWN if now.loss is None else f"{now.loss:.4f}"
    return to_translate(
        f"epoch {now.epoch}/{now.epochs}, loss {loss}, {format_rate(now.tokens_per_second)}, "
        f"{format_seconds(now.seconds_left)} left"
    )


@contextmanager
def training_progress(*, quiet: bool = False) -> Iterator[Callable[[TrainingProgress], None]]:
    """A function to tell progress to, while it is shown."""
    with _bar(_STANDING, quiet=quiet, lines=True) as show:

        def tell(now: TrainingProgress) -> None:
            doing, saved = _TRAINING_STAGES[now.stage], now.stage == "save"
            show(Shown(doing, now.step, now.steps, progress_text(now), urgent=saved))

        yield tell
