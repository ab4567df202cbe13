"""Two evaluations side by side: differences with their intervals, and the cases that flipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console

from localprompt.records import json
from localprompt.records.evaluation import (
    EvalComparison,
    Evaluation,
    Flip,
    TargetComparison,
    TargetSummary,
)
from localprompt.stats.paired import is_shown
from localprompt.stats.samples import Interval
from localprompt.units import UNKNOWN
from localprompt.views.eval_text import short, target_names, value_text
from localprompt.views.markdown import markdown
from localprompt.views.sections import Block, Column, Lines, Section, Table, text_table
from localprompt.views.terminal import print_blocks, print_text
from localprompt.views.translation import to_translate, translated

_COLUMNS = (
    Column("figure", ours=True),
    Column("A", numeric=True),
    Column("B", numeric=True),
    Column("B − A", numeric=True),
    Column("95 % interval", numeric=True, below=True),
    Column("p", numeric=True, spare=1),
    Column("p (Holm)", numeric=True),
    Column("verdict", ours=True),
)
_FLIPS = (
    Column("case", ours=True),
    Column("asked", prose=True),
    Column("A answered", prose=True),
    Column("B answered", prose=True),
    Column("B: reason", prose=True, spare=1),
)
_PAIRS = (
    Column("A", label="titled"),
    Column("B", label="titled"),
    Column("A passed", numeric=True),
    Column("B passed", numeric=True, below=True),
    Column("B − A", numeric=True),
    Column("95 % interval", numeric=True, below=True),
    Column("p (Holm)", numeric=True),
    Column("verdict", ours=True),
)
UNDECIDED = to_translate("no difference shown")
MOST_FLIPS = 10
MOST_PAIRS_IN_FULL = 6
"""Of one evaluation; of more the table of all pairs is enough to read."""


def print_comparison(comparison: EvalComparison, console: Console) -> None:
    """The table of each pair of targets, what it means, and the first flips."""
    print_blocks(blocks(comparison, MOST_FLIPS), console)


def print_flips(comparison: EvalComparison, console: Console) -> None:
    """Only what flipped, as while a prompt is being worked on."""
    for pair in comparison.pairs:
        if pair.passes is not None:
            counts = f"{pair.passes.only_b} repaired, {pair.passes.only_a} broken"
            print_text(f"{pair_name(pair)}: {counts}", console, "bold")
            print_blocks(_flips(pair.flips, MOST_FLIPS), console)


def comparison_markdown(comparison: EvalComparison) -> str:
    return markdown([Section("differences", "", tuple(blocks(comparison)))], 3)


def comparison_json(comparison: EvalComparison) -> str:
    """The whole record."""
    return json.encode(comparison).decode() + "\n"


def blocks(comparison: EvalComparison, most: int | None = None) -> Iterator[Block]:
    """Both sides, a table and the flips of each pair, and how the figures were made.

    Args:
        most: how many flips of a pair are shown; None: all that there are.
    """
    if comparison.a.id != comparison.b.id:
        yield Lines(tuple(_head(comparison)), quiet=False)
    elif len(comparison.pairs) > 1:
        yield pair_table(comparison.pairs)
    in_full = comparison.a.id != comparison.b.id or len(comparison.pairs) <= MOST_PAIRS_IN_FULL
    for pair in comparison.pairs if in_full else ():
        caption = f"{'; '.join(remarks(pair))}."
        title = f"A → B: {pair_name(pair)}"
        yield text_table(caption, _COLUMNS, rows(pair), title=title)
        yield from _flips(pair.flips, most)
    if not in_full:
        yield Lines((f"one pair in full:  localprompt compare {comparison.a.id} --between A B",))
    if tail := tuple(_tail(comparison)):
        yield Lines(tail)


def pair_blocks(pairs: Sequence[TargetComparison]) -> Iterator[Block]:
    """Every pair of one evaluation in a line each; nothing where there is none."""
    if pairs:
        yield pair_table(pairs)
        tests = sum(len(pair.adjusted) for pair in pairs)
        yield Lines((_tests_line(tests),))


def pair_table(pairs: Sequence[TargetComparison]) -> Table:
    names = target_names([target for pair in pairs for target in (pair.a, pair.b)])
    sides = zip(names[::2], names[1::2], strict=True)
    lines = ((a, b, *_pair_row(pair)) for (a, b), pair in zip(sides, pairs, strict=True))
    return text_table("Every two, paired case by case.", _PAIRS, lines)


def _pair_row(pair: TargetComparison) -> tuple[str, ...]:
    found = {row[0]: row[1:] for row in rows(pair)}
    if not found:
        return (UNKNOWN,) * 5 + (UNDECIDED,)
    a, b, difference, interval, _, adjusted, verdict = next(iter(found.values()))
    return a, b, difference, interval, adjusted, verdict


def is_better(one: TargetSummary, other: TargetSummary, pairs: Sequence[TargetComparison]) -> bool:
    """Whether the cases show that ``one`` passes more of them than ``other``."""
    for pair in pairs:
        sides = [pair.a, pair.b]
        if pair.passes is None or one.target not in sides or other.target not in sides:
            continue
        verdict = _verdict(pair.passes.difference, pair.passes.interval, pair.adjusted["pass"])
        return verdict == ("B is better" if pair.b == one.target else "B is worse")
    return False


def pair_name(pair: TargetComparison) -> str:
    """What both sides share once, what they differ in as ``A → B``."""
    parts = [
        a if a == b else f"{a} → {b}"
        for a, b in ((pair.a.prompt, pair.b.prompt), (pair.a.model.name, pair.b.model.name))
    ]
    return ", ".join(parts)


def rows(pair: TargetComparison) -> Iterator[tuple[str, ...]]:
    """The row of each figure."""
    if (passes := pair.passes) is not None:
        yield (
            "pass rate",
            f"{passes.passed_a / passes.n * 100:.1f} %",
            f"{passes.passed_b / passes.n * 100:.1f} %",
            f"{passes.difference * 100:+.1f} points",
            _interval(passes.interval, 100),
            f"{passes.p_value:.3g}",
            f"{pair.adjusted['pass']:.3g}",
            _verdict(passes.difference, passes.interval, pair.adjusted["pass"]),
        )
    scores = {"mean score": ("score", pair.score)}
    scores |= {f"metric {name}": (f"metric {name}", one) for name, one in pair.metrics.items()}
    for name, (key, one) in scores.items():
        if one is not None:
            yield (
                name,
                UNKNOWN,
                UNKNOWN,
                f"{one.difference:+.3f}",
                _interval(one.interval, 1),
                f"{one.p_value:.3g}",
                f"{pair.adjusted[key]:.3g}",
                _verdict(one.difference, one.interval, pair.adjusted[key]),
            )


def remarks(pair: TargetComparison) -> Iterator[str]:
    paired = translated(f"{pair.paired} cases are in both")
    if pair.unscored:
        paired += translated(f", {pair.unscored} of them left out because one side is unscored")
    if pair.only_in_a or pair.only_in_b:
        paired += translated(f"; {pair.only_in_a} only in A, {pair.only_in_b} only in B")
    yield paired
    if pair.passes is not None:
        yield translated(f"B repaired {pair.passes.only_b} and broke {pair.passes.only_a}")
    if pair.cases_needed is not None:
        yield translated(
            f"about {pair.cases_needed:,} cases would show a difference of this size "
            "with 80 % power (estimated)"
        )


def _verdict(difference: float, interval: Interval | None, adjusted: float) -> str:
    """A winner only where the interval leaves out zero and chance is unlikely even so often."""
    if not is_shown(interval, adjusted):
        return UNDECIDED
    return to_translate("B is better" if difference > 0 else "B is worse")


def _interval(interval: Interval | None, factor: int) -> str:
    if interval is None:
        return UNKNOWN
    digits = 1 if factor > 1 else 3
    return f"{interval.low * factor:+.{digits}f} to {interval.high * factor:+.{digits}f}"


def _flips(flips: tuple[Flip, ...], most: int | None) -> Iterator[Block]:
    if not flips:
        return
    rows = (
        (
            to_translate("repaired" if flip.repaired else "broken"),
            "; ".join(f"{key}: {short(value_text(value), 60)}" for key, value in flip.vars.items())
            or flip.case_id,
            short(flip.answer_a, 60),
            short(flip.answer_b, 60),
            short(flip.reason_b, 60),
        )
        for flip in flips[:most]
    )
    left = 0 if most is None else len(flips) - most
    yield text_table(f"… and {left} more" if left > 0 else "", _FLIPS, rows)


def _head(comparison: EvalComparison) -> Iterator[str]:
    for side, evaluation in (("A", comparison.a), ("B", comparison.b)):
        yield f"{side}  {_line(evaluation)}"


def _line(evaluation: Evaluation) -> str:
    return f"{evaluation.title}  ({evaluation.id}, {evaluation.created_at})"


def _tail(comparison: EvalComparison) -> Iterator[str]:
    if not comparison.pairs:
        yield translated("no prompt × model is in both: nothing to compare")
    if comparison.tests:
        yield _tests_line(comparison.tests)
    for side, names in (("A", comparison.only_in_a), ("B", comparison.only_in_b)):
        for name in names:
            yield translated(f"only in {side}: {name}")


def _tests_line(tests: int) -> str:
    return translated(
        "pass rates: exact McNemar; scores: sign-flip permutation; p (Holm) is adjusted for "
        f"all {tests} tests here"
    )
