"""Which of two ways is better at a quantity, and after how many answers tuning has paid; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from localprompt.evidence.lab import Answers
from localprompt.records.contrast import Curve, Judged, Way, Winner
from localprompt.records.evidence import Figure
from localprompt.stats.paired import compare_passes

LESS_IS_BETTER = (
    "memory",
    "answering_memory",
    "time_to_first_answer",
    "time_per_change",
    "cpu_per_change",
    "cpu_per_answer",
    "disk",
    "examples",
)


def judge(
    prompting: Way, tuning: Way, answered: Answers, answered_tuned: Answers
) -> Iterator[Judged]:
    """Every quantity that both have; the score by its cases, pair by pair."""
    for name in (*LESS_IS_BETTER, "score"):
        ours, theirs = prompting.figure(name), tuning.figure(name)
        if ours is None or theirs is None:
            continue
        winner = (
            _by_cases(answered.passed, answered_tuned.passed)
            if name == "score"
            else _less(ours, theirs)
        )
        yield Judged(name, winner, ours, theirs)


def curve(way: Way) -> Curve | None:
    """CPU time over answers: the change first, then every answer."""
    change, answer = way.figure("cpu_per_change"), way.figure("cpu_per_answer")
    if change is None or answer is None:
        return None
    return Curve(way.name, change.value, answer.value)


def break_even(curves: Sequence[Curve], judged: Sequence[Judged]) -> Figure | None:
    """Answers after which the second has taken less CPU time than the first.

    None where an answer of the tuned model is not shown to take less: then it never does, or
    nobody can say when.
    """
    cheaper = any(j.quantity == "cpu_per_answer" and j.winner == "tuning" for j in judged)
    if len(curves) != 2 or not cheaper:
        return None
    prompting, tuning = curves
    saved = prompting.per_answer_seconds - tuning.per_answer_seconds
    answers = max(0.0, (tuning.start_seconds - prompting.start_seconds) / saved)
    return Figure("break_even", answers, "count", "measured")


def answers_for_an_hour(judged: Sequence[Judged]) -> Figure | None:
    """Answers that make up for each hour of CPU time that a training took, where nobody saw how
    long it took; None where an answer of the tuned model is not shown to take less."""
    one = next((j for j in judged if j.quantity == "cpu_per_answer"), None)
    if one is None or one.winner != "tuning":
        return None
    answers = 3600.0 / (one.prompting.value - one.tuning.value)
    rounded = float(f"{answers:.2g}")  # a difference of two medians knows no more
    return Figure("answers_for_an_hour", rounded, "count", "measured")


def _less(prompting: Figure, tuning: Figure) -> Winner:
    """Undecided where the intervals meet; what has none counts as exact."""
    if _high(prompting) < _low(tuning):
        return "prompting"
    return "tuning" if _high(tuning) < _low(prompting) else "undecided"


def _by_cases(prompting: Sequence[bool], tuning: Sequence[bool]) -> Winner:
    interval = compare_passes(prompting, tuning).interval
    if interval.low > 0:
        return "tuning"
    return "prompting" if interval.high < 0 else "undecided"


def _low(figure: Figure) -> float:
    return figure.interval.low if figure.interval else figure.value


def _high(figure: Figure) -> float:
    return figure.interval.high if figure.interval else figure.value
