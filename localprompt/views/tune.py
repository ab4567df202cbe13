"""A tuning: what was chosen, every candidate with what it is worth; on a page as charts, too."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from localprompt.records.tuning import SuiteOutcome, Trial, Tuning, frontier
from localprompt.units import UNKNOWN, Quantity, format_bytes, format_rate, format_seconds
from localprompt.views.charts import Bar, BarPart, scale
from localprompt.views.html import render_page
from localprompt.views.sections import (
    BarChart,
    Column,
    Fact,
    Facts,
    Lines,
    Row,
    Section,
    Table,
    Value,
)
from localprompt.views.terminal import print_blocks, print_text

_COLUMNS = (
    Column("candidate", label="bare"),
    Column("request", numeric=True),
    Column("speed", numeric=True),
    Column("perplexity", numeric=True),
    Column("passed", numeric=True, spare=2),
    Column("peak RSS", numeric=True, spare=1),
    Column("verdict", prose=True),
)
_MOST_BARS = 14


def print_tuning(tuning: Tuning, console: Console) -> None:
    """The table, fastest first, and the outcome in words."""
    print_text(tuning.title, console, "bold")
    print_text(f"{tuning.id}  {request_text(tuning)}", console, "dim")
    outcome = Lines(tuple(outcome_lines(tuning)), quiet=False)
    print_blocks([_table(tuning), outcome], console)


def tuning_page(tuning: Tuning) -> str:
    """The whole file."""
    return render_page(
        tuning.title, f"{tuning.id}, {request_text(tuning)}", tuning_sections(tuning)
    )


def tuning_sections(tuning: Tuning) -> tuple[Section, ...]:
    """The tuning as a page shows it."""
    trials = [trial for trial in ranked(tuning) if trial.seconds]
    measured = [trial for trial in trials if trial.divergence is not None]
    outcome = [Fact("outcome", line) for line in outcome_lines(tuning)]
    outcome.append(Fact("machine", tuning.machine.cpu or "unknown"))
    charts = (
        _chart(tuning, trials, "Time of one request", "seconds"),
        *([_losses(tuning, measured)] if measured else []),
        _chart(tuning, trials, "Peak RSS", "bytes"),
    )
    return (
        Section("outcome", "What was chosen", (Facts(tuple(outcome)),)),
        Section("frontier", "Speed, quality, memory", charts),
        Section("candidates", "Every candidate", (_table(tuning),)),
    )


def _chart(tuning: Tuning, trials: list[Trial], title: str, kind: Quantity) -> BarChart:
    def value(trial: Trial) -> float:
        return float((trial.seconds if kind == "seconds" else trial.peak_rss_bytes) or 0)

    shown = trials[:_MOST_BARS]
    if tuning.trials[0] not in shown and tuning.trials[0].seconds:
        shown = [*shown, tuning.trials[0]]
    axis = scale(0.0, max(map(value, shown), default=0.0), kind)
    form = format_seconds if kind == "seconds" else format_bytes
    bars = tuple(
        Bar(
            name=trial_name(tuning, trial),
            text=form(value(trial)),
            parts=(BarPart(0.0, axis.position(value(trial)), 0),),
            note=_note(tuning, trial),
        )
        for trial in shown
    )
    caption = "The fastest first, and the usual settings; medians of the runs that each had."
    return BarChart(title, caption, bars, axis)


def _losses(tuning: Tuning, trials: list[Trial]) -> BarChart:
    """Rises of perplexity with their intervals."""
    rises = {trial.key: (trial.divergence.ratio - 1) * 100 for trial in trials if trial.divergence}
    ends = [
        (trial.divergence.ratio_interval.high - 1) * 100
        for trial in trials
        if trial.divergence and trial.divergence.ratio_interval
    ]
    axis = scale(0.0, max([*rises.values(), *ends, 0.1]), None)
    bars = []
    for trial in trials:
        interval = trial.divergence.ratio_interval if trial.divergence else None
        bars.append(
            Bar(
                name=trial_name(tuning, trial),
                text=perplexity_text(trial),
                parts=(BarPart(0.0, axis.position(rises[trial.key]), 0),),
                interval=None
                if interval is None
                else (
                    axis.position((interval.low - 1) * 100),
                    axis.position((interval.high - 1) * 100),
                ),
                note=trial.out or "",
            )
        )
    caption = (
        "Per cent over the parent's, token by token over the same text, with the 95 % interval; "
        f"at most {tuning.bounds.perplexity * 100:g} % is allowed."
    )
    return BarChart("Rise of perplexity", caption, tuple(bars), axis)


def _table(tuning: Tuning) -> Table:
    caption = (
        "Fastest first. Speed is that of the usual settings divided by the candidate's time. "
        "On the frontier: no other beats it in speed, quality and memory."
    )
    return Table(caption, _COLUMNS, tuple(_row(tuning, trial) for trial in ranked(tuning)))


def _row(tuning: Tuning, trial: Trial) -> Row:
    usual, name, note = tuning.trials[0].seconds, trial_name(tuning, trial), _note(tuning, trial)
    speed = usual / trial.seconds if usual and trial.seconds else None
    facts = [Fact("runs", str(trial.runs))]
    if trial.suite is not None:
        facts.append(Fact("suite", paired_text(trial.suite)))
    return Row(
        name,
        (
            Value(name, name),
            Value(format_seconds(trial.seconds), trial.seconds),
            Value(UNKNOWN if speed is None else f"{speed:.2f}×", speed),
            Value(perplexity_text(trial), trial.divergence.ratio if trial.divergence else None),
            Value(passed_text(trial.suite), trial.suite.passed if trial.suite else None),
            Value(format_bytes(trial.peak_rss_bytes), trial.peak_rss_bytes),
            Value(note, note),
        ),
        tuple(facts),
        emphasis="strong" if trial.key == tuning.chosen else "weak" if trial.out else "",
    )


def _note(tuning: Tuning, trial: Trial) -> str:
    if trial.key == tuning.chosen:
        return "chosen"
    if trial.out:
        return trial.out
    return "on the frontier" if trial.key in frontier(tuning.trials) else ""


def ranked(tuning: Tuning) -> list[Trial]:
    """Fastest first; what never ran last."""
    return sorted(tuning.trials, key=lambda trial: trial.seconds or float("inf"))


def trial_name(tuning: Tuning, trial: Trial) -> str:
    """``usual``, ``Q8_0``, ``Q8_0 n_ubatch=128``."""
    own = trial.model.sha256 == tuning.model.sha256
    parts = [trial.model.quantization or trial.model.name]
    parts += [f"{field}={shown(value)}" for field, value in trial.changes.items()]
    return f"{parts[0]} (usual)" if own and not trial.changes else " ".join(parts)


def perplexity_text(trial: Trial) -> str:
    """``+0.45 %``; UNKNOWN where it was not measured."""
    if trial.divergence is None:
        return UNKNOWN
    return f"{(trial.divergence.ratio - 1) * 100:+.2f} %"


def passed_text(suite: SuiteOutcome | None) -> str:
    return UNKNOWN if suite is None else f"{suite.passed}/{suite.scored}"


def shown(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def request_text(tuning: Tuning) -> str:
    """``prompt sentiment-plain: 61 tokens, 2 answered``."""
    tokens = f"{tuning.prompt_tokens} tokens, {tuning.answer_tokens} answered"
    return (
        f"prompt {tuning.prompt}: {tokens}" if tuning.prompt_tokens else f"prompt {tuning.prompt}"
    )


def outcome_lines(tuning: Tuning) -> Iterator[str]:
    """What was chosen and what it gives, or why nothing was."""
    given_up = [trial for trial in tuning.trials if trial.out and trial.divergence is not None]
    for trial in given_up:
        yield f"{trial_name(tuning, trial)}: given up: {trial.out}"
    chosen, usual = tuning.trial(tuning.chosen), tuning.trials[0]
    if chosen is None:
        if tuning.seconds is None:
            yield "not finished"
        else:
            yield "nothing was faster than the usual settings within the bounds of quality"
        return
    interval = tuning.speed_up_interval
    span = f" ({interval.low:.2f} to {interval.high:.2f})" if interval else ""
    yield f"{trial_name(tuning, chosen)}: {tuning.speed_up:.2f}× the requests per second{span}"
    if chosen.suite is not None and usual.suite is not None:
        yield (
            f"suite: {format_rate(chosen.suite.cases_per_second, 'cases/s')} after "
            f"{format_rate(usual.suite.cases_per_second, 'cases/s')}; {paired_text(chosen.suite)}"
        )
    if tuning.profile is not None:
        yield (
            f"profile {tuning.profile} is used for {tuning.model.name} on this machine from now "
            "on (--profile none switches it off)"
        )


def paired_text(suite: SuiteOutcome) -> str:
    """``6 cases repaired, 2 broken of 240: no loss shown (p 0.289)``."""
    found = suite.against
    if found is None:
        return f"{suite.passed} of {suite.scored} passed"
    verdict = "no loss shown" if found.difference >= 0 or found.p_value >= 0.05 else "worse"
    return (
        f"{found.only_b} cases repaired, {found.only_a} broken of {found.n}: "
        f"{verdict} (p {found.p_value:.3f})"
    )
