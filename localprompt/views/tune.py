"""A tuning in the terminal: every candidate with what it is worth, and what was chosen."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from localprompt.records.tuning import SuiteOutcome, Trial, Tuning, frontier
from localprompt.units import UNKNOWN, format_bytes, format_rate, format_seconds

COLUMNS = ("candidate", "request", "speed", "perplexity", "passed", "peak RSS", "")
_RIGHT = frozenset(COLUMNS[1:6])


def print_tuning(tuning: Tuning, console: Console) -> None:
    """The table, fastest first, and the outcome in words."""
    console.print(Text(tuning.title, style="bold"))
    console.print(Text(f"{tuning.id}  {request_text(tuning)}", style="dim"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in COLUMNS:
        table.add_column(
            name, justify="right" if name in _RIGHT else "left", no_wrap=name != "candidate"
        )
    for trial in ranked(tuning):
        style = "bold" if trial.key == tuning.chosen else "dim" if trial.out else ""
        table.add_row(*(Text(value, style=style) for value in row(tuning, trial)))
    console.print(table)
    console.print(Text("◆ chosen   * no other beats it in speed, quality and memory", style="dim"))
    for line in outcome_lines(tuning):
        console.print(Text(line))


def ranked(tuning: Tuning) -> list[Trial]:
    """Fastest first; what never ran last."""
    return sorted(tuning.trials, key=lambda trial: trial.seconds or float("inf"))


def row(tuning: Tuning, trial: Trial) -> tuple[str, ...]:
    """One line of COLUMNS."""
    usual = tuning.trials[0]
    return (
        trial_name(tuning, trial),
        format_seconds(trial.seconds),
        f"{usual.seconds / trial.seconds:.2f}×" if usual.seconds and trial.seconds else UNKNOWN,
        perplexity_text(trial),
        passed_text(trial.suite),
        format_bytes(trial.peak_rss_bytes),
        mark(tuning, trial),
    )


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


def mark(tuning: Tuning, trial: Trial) -> str:
    if trial.key == tuning.chosen:
        return "◆"
    return "*" if trial.key in frontier(tuning.trials) else ""


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
            yield "nothing was faster than the usual settings inside the bounds of quality"
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
