"""How an evaluation goes, on stderr: a bar with rate, time left and running pass rate on a
terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from localprompt.units import UNKNOWN, format_seconds

_SECONDS_BETWEEN_LINES = 10.0


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
    return f"{pace}, {format_seconds(left)} left, {passed} passed"


@contextmanager
def eval_progress(*, quiet: bool = False) -> Iterator[Callable[[Standing], None]]:
    """A function to tell progress to, while it is shown."""
    console = Console(stderr=True)
    if quiet:
        yield lambda _: None
    elif not console.is_terminal:
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
            began = time.monotonic()
            before: int | None = None

            def show(now: Standing) -> None:
                nonlocal before
                before = now.done if before is None else before
                progress.update(
                    task,
                    description=escape(now.doing),
                    completed=now.done,
                    total=now.total,
                    standing=standing_text(now, before, time.monotonic() - began),
                )

            yield show


def _lines() -> Callable[[Standing], None]:
    began = told = time.monotonic()
    before: int | None = None

    def show(now: Standing) -> None:
        nonlocal told, before
        before = now.done if before is None else before
        if time.monotonic() - told >= _SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            standing = standing_text(now, before, told - began)
            print(f"{now.done}/{now.total} {now.doing}: {standing}", file=sys.stderr)  # noqa: T201

    return show
