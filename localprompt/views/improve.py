"""A search for a better prompt in the terminal: what was tried, what helped, what was proved."""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from localprompt.records.improvement import Improvement, Standing, Trial, frontier
from localprompt.stats.samples import Interval
from localprompt.units import UNKNOWN

COLUMNS = ("candidate", "examples", "weighing", "search", "selection", "tokens", "")
_RIGHT = frozenset(COLUMNS[3:6])
_MOST_ROWS = 12
_SECONDS_BETWEEN_LINES = 10.0


def print_improvement(improvement: Improvement, console: Console) -> None:
    """The table, the proof in words, the difference of the two prompts."""
    console.print(Text(improvement.title, style="bold"))
    console.print(Text(f"{improvement.id}  {improvement.model.name}", style="dim"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in COLUMNS:
        table.add_column(
            name, justify="right" if name in _RIGHT else "left", no_wrap=name in _RIGHT
        )
    shown = ranked(improvement)
    for trial in shown[:_MOST_ROWS]:
        style = "bold" if trial.key == improvement.winner else "dim" if trial.out else ""
        table.add_row(*(Text(value, style=style) for value in row(improvement, trial)))
    console.print(table)
    left = len(shown) - _MOST_ROWS
    if left > 0:
        console.print(Text(f"and {left} more that were dropped", style="dim"))
    for line in outcome_lines(improvement):
        console.print(Text(line))
    for line in difference(improvement):
        style = "green" if line.startswith("+") else "red" if line.startswith("-") else "dim"
        console.print(Text(line, style=style))


def ranked(improvement: Improvement) -> list[Trial]:
    """Those that came furthest first, then by their score."""

    def order(trial: Trial) -> tuple[float, ...]:
        chosen = trial.key == improvement.winner
        selected = trial.selection.value if trial.selection else -1.0
        searched = (trial.search.cases, trial.search.value) if trial.search else (0, 0.0)
        return (-float(chosen), -selected, -searched[0], -searched[1])

    return sorted(improvement.trials, key=order)


def row(improvement: Improvement, trial: Trial) -> tuple[str, ...]:
    """One line of COLUMNS."""
    best = frontier(improvement.trials)
    mark = "◆" if trial.key == improvement.winner else "*" if trial.key in best else ""
    if trial.key == improvement.original:
        mark += " original"
    return (
        trial.wording,
        trial.examples,
        trial.weighing.name,
        standing_text(trial.search),
        standing_text(trial.selection),
        UNKNOWN if trial.prompt_tokens is None else f"{trial.prompt_tokens:.0f}",
        mark.strip() or (trial.out or ""),
    )


def standing_text(standing: Standing | None) -> str:
    """``84.2 % of 120``."""
    return UNKNOWN if standing is None else f"{standing.value:.1%} of {standing.cases}"


def outcome_lines(improvement: Improvement) -> Iterator[str]:
    """What was proved, in words."""
    final = improvement.final
    if final is None:
        yield "not finished"
        return
    interval = points_between(final.interval)
    test = f"{final.test}, p {final.p_value:.3f}"
    flipped = ""
    if final.passes is not None:
        flipped = f"; {final.passes.only_b} cases repaired, {final.passes.only_a} broken"
    if final.shown:
        yield (
            f"gain shown: {final.before:.1%} → {final.after:.1%} on {final.n} held-out cases, "
            f"{points(final.difference)}{interval} ({test}{flipped})"
        )
    elif improvement.winner == improvement.original and not final.flips:
        yield f"no gain shown: nothing beat the original ({final.before:.1%} of {final.n})"
    else:
        yield (
            f"no gain shown: {final.before:.1%} → {final.after:.1%} on {final.n} held-out cases, "
            f"{points(final.difference)}{interval} ({test}{flipped})"
        )
    for alone in improvement.alone:
        span = points_between(alone.interval)
        yield f"by itself, {alone.change} ({alone.what}): {points(alone.difference)}{span}"
    asked = f"asked {improvement.evaluations:,} cases ({improvement.cached:,} from the cache)"
    grid = ""
    if improvement.full_grid:
        grid = f"; racing asked {improvement.raced / improvement.full_grid:.0%} of the full grid"
    yield f"{asked}{grid}; {improvement.seconds or 0:.0f} s"
    if improvement.stopped:
        yield f"the search ended early: {improvement.stopped} are spent"
    if improvement.output is not None:
        yield f"wrote {improvement.output}"
    elif final.shown and improvement.request.output is None:
        yield "no file was asked for: -o better.prompty writes it (answers are taken over)"
    elif not final.shown:
        yield "no file was written (--keep-anyway writes the best that was found)"


def points(difference: float) -> str:
    return f"{difference * 100:+.1f} points"


def points_between(interval: Interval | None) -> str:
    """``, 95 % between +3.1 and +12.0``."""
    if interval is None:
        return ""
    return f", 95 % between {interval.low * 100:+.1f} and {interval.high * 100:+.1f}"


def difference(improvement: Improvement) -> Iterator[str]:
    """The two prompts' bodies, line by line."""
    if improvement.before is None or improvement.after is None:
        return
    if improvement.winner == improvement.original:
        return
    yield from difflib.unified_diff(
        body_lines(improvement.before),
        body_lines(improvement.after),
        "original",
        "better",
        lineterm="",
        n=1,
    )


def body_lines(text: str) -> list[str]:
    """A prompt file's lines behind its front matter."""
    parts = text.split("\n---", 1)
    return (parts[1].partition("\n")[2] if len(parts) > 1 else text).splitlines()


class Stands(Protocol):
    """What is shown; see localprompt.improve.search.Progress."""

    @property
    def stage(self) -> str: ...
    @property
    def asked(self) -> int: ...
    @property
    def leader(self) -> str | None: ...
    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def left(self) -> int | None: ...


@contextmanager
def improve_progress(*, quiet: bool = False) -> Iterator[Callable[[Stands], None]]:
    """A function to tell progress to, while it is shown: a line for each stage and round."""
    console = Console(stderr=True)
    if quiet:
        yield lambda _: None
    elif not console.is_terminal or console.no_color:
        yield _lines()
    else:
        with console.status("") as status:
            yield lambda now: status.update(Text(progress_text(now)))


def progress_text(now: Stands) -> str:
    """``wordings: 6 left, leader 78.1 % (70.2 to 84.4): instruction first; examples: none``."""
    text = f"{now.stage}: {now.asked:,} asked"
    if now.left is not None:
        text += f", {now.left} candidates left"
    if now.value is not None:
        span = "" if now.low is None or now.high is None else f" ({now.low:.0%} to {now.high:.0%})"
        text += f", best {now.value:.1%}{span}"
    return text + (f": {now.leader}" if now.leader else "")


def _lines() -> Callable[[Stands], None]:
    told = 0.0
    stage = ""

    def show(now: Stands) -> None:
        nonlocal told, stage
        if now.stage != stage or time.monotonic() - told >= _SECONDS_BETWEEN_LINES:
            told, stage = time.monotonic(), now.stage
            print(progress_text(now), file=sys.stderr, flush=True)  # noqa: T201

    return show
