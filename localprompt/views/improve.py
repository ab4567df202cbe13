"""A search for a better prompt: what was proved, what helped, what was tried."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.text import Text

from localprompt.records.improvement import Improvement, Standing, Trial, frontier
from localprompt.stats.samples import Interval
from localprompt.units import UNKNOWN, format_bytes, format_seconds
from localprompt.views.charts import Bar, BarPart, scale
from localprompt.views.eval_text import value_text
from localprompt.views.progress import say_progress
from localprompt.views.sections import (
    BarChart,
    Block,
    Column,
    Fact,
    Facts,
    Lines,
    Row,
    Section,
    Table,
    Value,
)
from localprompt.views.terminal import Terminal, print_blocks, print_text

_COLUMNS = (
    Column("wording", label="bare", prose=True),
    Column("examples", label="titled", prose=True),
    Column("weighing", spare=3),
    Column("search", numeric=True),
    Column("selection", numeric=True),
    Column("likelihood", numeric=True, spare=5),
    Column("tokens", numeric=True, spare=1),
    Column("TTFT", numeric=True, spare=2),
    Column("peak RSS", numeric=True, spare=4),
    Column("verdict", prose=True),
)
_MOST_ROWS = 6
_SECONDS_BETWEEN_LINES = 10.0


def print_improvement(improvement: Improvement, console: Console) -> None:
    """The proof in words, the table of the best, the difference of the two prompts."""
    print_text(improvement.title, console, "bold")
    print_text(f"{improvement.id}  {request_text(improvement)}", console, "dim")
    outcome = Lines(tuple(outcome_lines(improvement)), quiet=False)
    blocks: list[Block] = [outcome, _table(improvement, _MOST_ROWS)]
    print_blocks(blocks, console)
    for line in difference(improvement):
        print_text(line, console, "bold" if line.startswith("+") else "dim")


def improvement_sections(improvement: Improvement, prefix: str = "") -> tuple[Section, ...]:
    """The search as pages and Markdown show it."""
    sections = [Section(f"{prefix}outcome", "What was proved", tuple(_outcome(improvement)))]
    sections.append(Section(f"{prefix}candidates", "What was tried", (_table(improvement, None),)))
    changes = tuple(difference(improvement))
    if changes:
        lines = Lines(changes, quiet=False)
        sections.append(Section(f"{prefix}difference", "The two prompts", (lines,)))
    if improvement.final is not None and improvement.final.flips:
        sections.append(Section(f"{prefix}flips", "Cases that flipped", (_flips(improvement),)))
    return tuple(sections)


def _outcome(improvement: Improvement) -> Iterator[Block]:
    final, metric = improvement.final, _metric(improvement)
    if final is not None:
        of = f"{metric} over " if metric else "of "
        yield Facts(
            (
                Fact("original", f"{final.before:.1%}", f"{of}{final.n} held-out cases"),
                Fact("better prompt", f"{final.after:.1%}"),
                Fact(
                    "gain",
                    points(final.difference) if final.shown else "no gain shown",
                    f"{p_text(final.p_value)}{points_between(final.interval)}",
                ),
            ),
            prominent=True,
        )
    yield Lines(tuple(outcome_lines(improvement)), quiet=False)
    if improvement.alone:
        yield _alone_chart(improvement)


def _alone_chart(improvement: Improvement) -> BarChart:
    """What each change gives by itself, in points, with its interval."""
    ends = [0.0]
    for alone in improvement.alone:
        ends += [alone.difference]
        ends += [alone.interval.low, alone.interval.high] if alone.interval else []
    axis = scale(100 * min(ends), 100 * max(*ends, 0.01), None)
    zero = axis.position(0.0)
    bars = []
    for alone in improvement.alone:
        end = axis.position(100 * alone.difference)
        span = alone.interval
        bars.append(
            Bar(
                name=f"{alone.change}: {alone.what}",
                text=points(alone.difference),
                parts=(BarPart(min(zero, end), abs(end - zero), 0),),
                interval=None
                if span is None
                else (axis.position(100 * span.low), axis.position(100 * span.high)),
                mark=zero,
            )
        )
    caption = "Points over the original on the selection part, with the 95 % interval."
    return BarChart("What helps by itself", caption, tuple(bars), axis, mark_legend="no change")


def _table(improvement: Improvement, most: int | None) -> Table:
    """The candidates, those that came furthest first."""
    shown = ranked(improvement)
    left = "" if most is None or len(shown) <= most else f" {len(shown) - most} more were dropped."
    likely = any(trial.likelihood is not None for trial in shown)
    ranked_by = " Ranked by how probable the right choices are (likelihood, 0 at best)."
    caption = (
        f"Those that came furthest first.{left}{ranked_by if likely else ''} On the frontier: no "
        "other that met the selection part has a better score in less time."
    )
    return Table(
        caption, _COLUMNS, tuple(_row(improvement, trial) for trial in shown[:most]), "candidate"
    )


def _row(improvement: Improvement, trial: Trial) -> Row:
    searched, selected = trial.search, trial.selection
    note = _note(improvement, trial)
    weak = bool(trial.out) and trial.key != improvement.winner
    return Row(
        f"{trial.asked}; examples: {trial.examples}",
        (
            Value(trial.asked, trial.asked),
            Value(trial.examples, trial.examples),
            Value(trial.weighing.name, trial.weighing.name),
            Value(standing_text(searched), searched.value if searched else None),
            Value(standing_text(selected), selected.value if selected else None),
            Value(
                UNKNOWN if trial.likelihood is None else f"{trial.likelihood:.3f}",
                trial.likelihood,
            ),
            Value(
                UNKNOWN if trial.prompt_tokens is None else f"{trial.prompt_tokens:.0f}",
                trial.prompt_tokens,
            ),
            Value(format_seconds(trial.ttft_seconds), trial.ttft_seconds),
            Value(format_bytes(trial.peak_rss_bytes), trial.peak_rss_bytes),
            Value(note, note),
        ),
        texts=(("template", trial.body),),
        emphasis="strong" if trial.key == improvement.winner else "weak" if weak else "",
    )


def _note(improvement: Improvement, trial: Trial) -> str:
    marks = ["winner"] if trial.key == improvement.winner else []
    marks += ["original"] if trial.key == improvement.original else []
    if trial.key in frontier(improvement.trials):
        marks.append("on the frontier")
    return ", ".join(marks) or trial.out or ""


def _flips(improvement: Improvement) -> Table:
    final = improvement.final
    columns = (
        Column("case", label="bare", whole=True),
        Column("what happened"),
        Column("expected", prose=True),
        Column("before", prose=True),
        Column("after", prose=True),
    )
    rows = []
    for flip in final.flips if final else ():
        texts = (
            flip.case_id,
            "repaired" if flip.repaired else "broken",
            flip.expected or UNKNOWN,
            flip.answer_before,
            flip.answer_after,
        )
        given = tuple((name, value_text(value)) for name, value in flip.vars.items())
        rows.append(Row(flip.case_id, tuple(Value(t, t) for t in texts), texts=given))
    return Table("Cases of the final part that one of the two got right.", columns, tuple(rows))


def request_text(improvement: Improvement) -> str:
    """``sentiment-plain on smollm2-135m; cases: search 180, selection 76, final 120``."""
    sizes = ", ".join(f"{part.name} {part.cases}" for part in improvement.parts)
    ranked_by = f", ranked by {metric}" if (metric := _metric(improvement)) else ""
    return f"{improvement.prompt} on {improvement.model.name}{ranked_by}; cases: {sizes}"


def _metric(improvement: Improvement) -> str | None:
    """What the percentages are of, where that is not plainly the cases that passed."""
    metric = improvement.request.metric
    return None if metric == "pass" else metric


def ranked(improvement: Improvement) -> list[Trial]:
    """Those that came furthest first, then by their score."""

    def order(trial: Trial) -> tuple[float, ...]:
        chosen = trial.key == improvement.winner
        selected = trial.selection.value if trial.selection else -1.0
        searched = (trial.search.cases, trial.search.value) if trial.search else (0, 0.0)
        return (-float(chosen), -selected, -searched[0], -searched[1])

    return sorted(improvement.trials, key=order)


def standing_text(standing: Standing | None) -> str:
    """``84.2 % of 120``."""
    return UNKNOWN if standing is None else f"{standing.value:.1%} of {standing.cases}"


def outcome_lines(improvement: Improvement) -> Iterator[str]:
    """What was proved, in words."""
    final = improvement.final
    if final is None:
        yield "not finished"
        return
    by = f" ({metric})" if (metric := _metric(improvement)) else ""
    interval = points_between(final.interval)
    test = f"{final.test}, {p_text(final.p_value)}"
    flipped = ""
    if final.passes is not None:
        flipped = f"; {final.passes.only_b} cases repaired, {final.passes.only_a} broken"
    change = (
        f"{final.before:.1%} → {final.after:.1%}{by} on {final.n} held-out cases, "
        f"{points(final.difference)}{interval} ({test}{flipped})"
    )
    if final.shown:
        yield f"gain shown: {change}"
    elif improvement.winner == improvement.original and not final.flips:
        yield f"no gain shown: nothing beat the original ({final.before:.1%} of {final.n})"
    else:
        yield f"no gain shown: {change}"
    for alone in improvement.alone:
        span = points_between(alone.interval)
        yield f"by itself, {alone.change} ({alone.what}): {points(alone.difference)}{span}"
    asked = f"asked {improvement.evaluations:,} cases ({improvement.cached:,} from the cache)"
    grid = ""
    if improvement.full_grid:
        grid = f"; racing asked {improvement.raced / improvement.full_grid:.0%} of the full grid"
    yield f"{asked}{grid}; {improvement.seconds or 0:.0f} s"
    if improvement.stopped:
        yield f"the search was cut short to stay within {improvement.stopped}"
    if improvement.output is not None:
        yield f"wrote {improvement.output}"
    elif final.shown and improvement.request.output is None:
        yield "no file written: add -o better.prompty (answers are reused)"
    elif not final.shown:
        yield "no file written (--keep-anyway writes the best one found)"


def p_text(p_value: float) -> str:
    """``p 0.021``; a small one is not shown as none."""
    return "p < 0.001" if p_value < 0.001 else f"p {p_value:.3f}"


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
    @property
    def seconds_left(self) -> float | None: ...


@contextmanager
def improve_progress(*, quiet: bool = False) -> Iterator[Callable[[Stands], None]]:
    """A function to tell progress to, while it is shown: a line for each stage and round."""
    console = Terminal(stderr=True)
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
    if now.seconds_left is not None:
        text += f", about {format_seconds(now.seconds_left)} left"
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
            say_progress(progress_text(now))

    return show
