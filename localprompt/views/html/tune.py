"""A tuning as one self-contained HTML page: the frontier as charts, and every candidate."""

from __future__ import annotations

from localprompt.records.tuning import Trial, Tuning
from localprompt.units import Quantity, format_bytes, format_seconds
from localprompt.views.html.charts import Bar, BarPart, scale
from localprompt.views.html.page import (
    BarChart,
    Column,
    Fact,
    Facts,
    Row,
    Section,
    Table,
    Value,
    render_page,
)
from localprompt.views.tune import (
    COLUMNS,
    mark,
    outcome_lines,
    paired_text,
    perplexity_text,
    ranked,
    request_text,
    row,
    trial_name,
)

_MOST_BARS = 14


def tuning_page(tuning: Tuning) -> str:
    """The whole file."""
    trials = [trial for trial in ranked(tuning) if trial.seconds]
    measured = [trial for trial in trials if trial.divergence is not None]
    sections = (
        Section("outcome", "What was chosen", (_facts(tuning),)),
        Section(
            "frontier",
            "Speed, quality, memory",
            (
                _chart(tuning, trials, "Time of one request", "seconds"),
                *([_losses(tuning, measured)] if measured else []),
                _chart(tuning, trials, "Peak RSS", "bytes"),
            ),
        ),
        Section("candidates", "Every candidate", (_table(tuning),)),
    )
    return render_page(tuning.title, f"{tuning.id}, {request_text(tuning)}", sections)


def _facts(tuning: Tuning) -> Facts:
    items = [Fact("outcome", line) for line in outcome_lines(tuning)]
    items.append(Fact("machine", tuning.machine.cpu or "unknown"))
    return Facts(tuple(items))


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
        f"allowed are {tuning.bounds.perplexity * 100:g} %."
    )
    return BarChart("Rise of perplexity", caption, tuple(bars), axis)


def _table(tuning: Tuning) -> Table:
    columns = (*COLUMNS[:-1], "verdict")
    rows = []
    for trial in ranked(tuning):
        texts = (*row(tuning, trial)[:-1], _note(tuning, trial))
        orders = (
            texts[0],
            trial.seconds,
            None if not trial.seconds else -trial.seconds,
            trial.divergence.ratio if trial.divergence else None,
            trial.suite.passed if trial.suite else None,
            trial.peak_rss_bytes,
            texts[-1],
        )
        values = tuple(Value(text, order) for text, order in zip(texts, orders, strict=True))
        facts = [Fact("runs", str(trial.runs))]
        if trial.suite is not None:
            facts.append(Fact("suite", paired_text(trial.suite)))
        rows.append(Row(texts[0], values, tuple(facts)))
    numeric = {"request", "speed", "perplexity", "passed", "peak RSS"}
    return Table(
        "Fastest first. Speed is that of the usual settings divided by the candidate's time.",
        tuple(Column(name, numeric=name in numeric) for name in columns),
        tuple(rows),
    )


def _note(tuning: Tuning, trial: Trial) -> str:
    if trial.key == tuning.chosen:
        return "chosen"
    if trial.out:
        return trial.out
    return "on the frontier" if mark(tuning, trial) else ""
