"""Two evaluations side by side: differences with their intervals, and the cases that flipped."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from localprompt.records import json
from localprompt.records.evaluation import EvalComparison, Evaluation, Flip, TargetComparison
from localprompt.stats.samples import Interval
from localprompt.units import UNKNOWN
from localprompt.views.eval_table import short
from localprompt.views.files.runs import _markdown_cell, _markdown_row

COLUMNS = ("figure", "A", "B", "B − A", "95 % interval", "p", "p (Holm)", "verdict")
UNDECIDED = "no difference shown"
MOST_FLIPS = 10
_SURE = 0.05


def print_comparison(comparison: EvalComparison, console: Console) -> None:
    """The table of each pair of targets, what it means, and the first flips."""
    for line in head(comparison):
        console.print(Text(line, style="bold"))
    for pair in comparison.pairs:
        console.print(Text(f"\n{pair_name(pair)}", style="bold"))
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in COLUMNS:
            table.add_column(name, justify="left" if name in {"figure", "verdict"} else "right")
        for row in rows(pair):
            table.add_row(*map(Text, row))
        console.print(table)
        for line in remarks(pair):
            console.print(Text(line, style="dim"))
        _print_flips(pair.flips, console)
    for line in tail(comparison):
        console.print(Text(line, style="dim"))


def print_flips(comparison: EvalComparison, console: Console) -> None:
    """Only what flipped, as while a prompt is being worked on."""
    for pair in comparison.pairs:
        if pair.passes is None:
            continue
        counts = f"{pair.passes.only_b} repaired, {pair.passes.only_a} broken"
        console.print(Text(f"{pair_name(pair)}: {counts}", style="bold"))
        _print_flips(pair.flips, console)


def comparison_markdown(comparison: EvalComparison) -> str:
    lines = [f"- {_markdown_cell(line)}\n" for line in head(comparison)]
    for pair in comparison.pairs:
        lines += [f"\n### {_markdown_cell(pair_name(pair))}\n\n"]
        lines += [_markdown_row(COLUMNS), _markdown_row("---" for _ in COLUMNS)]
        lines += [_markdown_row(map(_markdown_cell, row)) for row in rows(pair)]
        lines += [f"\n- {_markdown_cell(line)}" for line in remarks(pair)]
        lines += ["\n"]
        if pair.flips:
            heads = ("case", "", "A answered", "B answered", "B: reason")
            lines += ["\n", _markdown_row(heads), _markdown_row("---" for _ in heads)]
            for flip in pair.flips:
                state = "repaired" if flip.repaired else "broken"
                cells = (flip.case_id, state, flip.answer_a, flip.answer_b, flip.reason_b)
                lines += [_markdown_row(_markdown_cell(short(cell)) for cell in cells)]
    lines += [f"\n{_markdown_cell(line)}\n" for line in tail(comparison)]
    return "".join(lines)


def comparison_json(comparison: EvalComparison) -> str:
    """The whole record."""
    return json.encode(comparison).decode() + "\n"


def pair_name(pair: TargetComparison) -> str:
    """What both sides share once, what they differ in as ``A → B``."""
    parts = [
        a if a == b else f"{a} → {b}"
        for a, b in ((pair.a.prompt, pair.b.prompt), (pair.a.model.name, pair.b.model.name))
    ]
    return ", ".join(parts)


def rows(pair: TargetComparison) -> Iterator[tuple[str, ...]]:
    """One row of COLUMNS per figure."""
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
    paired = f"{pair.paired} cases are in both"
    if pair.unscored:
        paired += f", {pair.unscored} of them left out because one side is unscored"
    if pair.only_in_a or pair.only_in_b:
        paired += f"; {pair.only_in_a} only in A, {pair.only_in_b} only in B"
    yield paired
    if pair.passes is not None:
        yield f"B repaired {pair.passes.only_b} and broke {pair.passes.only_a}"
    if pair.cases_needed is not None:
        yield (
            f"about {pair.cases_needed:,} cases would show a difference of this size "
            "with 80 % power (estimated)"
        )


def _verdict(difference: float, interval: Interval | None, adjusted: float) -> str:
    """A winner only where the interval leaves out zero and chance is unlikely even so often."""
    if interval is None or interval.contains(0) or adjusted >= _SURE:
        return UNDECIDED
    return "B is better" if difference > 0 else "B is worse"


def _interval(interval: Interval | None, factor: int) -> str:
    if interval is None:
        return UNKNOWN
    digits = 1 if factor > 1 else 3
    return f"{interval.low * factor:+.{digits}f} to {interval.high * factor:+.{digits}f}"


def _print_flips(flips: tuple[Flip, ...], console: Console) -> None:
    for flip in flips[:MOST_FLIPS]:
        state, style = ("repaired", "green") if flip.repaired else ("broken  ", "red")
        asked = "; ".join(f"{key}: {short(str(value), 60)}" for key, value in flip.vars.items())
        console.print(Text(f"  {state} {asked or flip.case_id}", style=style))
        console.print(Text(f"           {short(flip.answer_a, 60)} → {short(flip.answer_b, 60)}"))
    if len(flips) > MOST_FLIPS:
        console.print(Text(f"  … and {len(flips) - MOST_FLIPS} more", style="dim"))


def head(comparison: EvalComparison) -> Iterator[str]:
    for side, evaluation in (("A", comparison.a), ("B", comparison.b)):
        yield f"{side}  {_line(evaluation)}"


def _line(evaluation: Evaluation) -> str:
    return f"{evaluation.title}  ({evaluation.id}, {evaluation.created_at})"


def tail(comparison: EvalComparison) -> Iterator[str]:
    if not comparison.pairs:
        yield "no prompt × model of one can be paired with one of the other: nothing to compare"
    if comparison.tests:
        yield (
            "pass rates: exact McNemar; scores: sign-flip permutation; p (Holm) is adjusted for "
            f"all {comparison.tests} tests here"
        )
    for side, names in (("A", comparison.only_in_a), ("B", comparison.only_in_b)):
        for name in names:
            yield f"only in {side}: {name}"
