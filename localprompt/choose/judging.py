"""An evaluation and a bench of the same models, read together; pure.

Who is better is told by the paired cases alone, who is faster by the repetitions of one answer; a
difference that is not shown counts as none. So nobody is beaten by luck: a row is off the front
only where another is shown to be better in one respect, and not shown to be worse in any.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from localprompt.measure.energy import JOULES_PER_WATT_HOUR, USD_PER_KWH, usd_of
from localprompt.records.bench import BenchResult, CellResult
from localprompt.records.choice import (
    Basis,
    Choice,
    ChoicePair,
    ChoiceResult,
    ChoiceRow,
    Prices,
    ThousandAnswers,
)
from localprompt.records.evaluation import EvalResult, TargetComparison
from localprompt.records.model_use import ModelUse, TargetUse
from localprompt.stats.paired import is_shown
from localprompt.stats.ranges import Range
from localprompt.stats.samples import Comparison, Interval, Summary, compare

SAME_MEMORY = 0.02
"""Peaks are measured once; closer than this they count as equal."""


def judge(choice: Choice, result: EvalResult, bench: BenchResult) -> ChoiceResult:
    """The rows, every two of them compared, and which of them are on the front."""
    cells = {cell.cell.key: cell for cell in bench.cells}
    rows = [
        _row(index, choice, result, cells.get(choice.cells[index] or ""))
        for index in range(len(result.targets))
    ]
    pairs = tuple(_pairs(result, rows))
    rows = [
        msgspec.structs.replace(row, beaten_by=beaten, on_front=not beaten)
        for index, row in enumerate(rows)
        for beaten in (tuple(_beating(index, rows, pairs)),)
    ]
    request = result.evaluation.request
    return ChoiceResult(
        choice=choice,
        rows=tuple(rows),
        pairs=pairs,
        cases=result.evaluation.cases,
        scoring=request.scoring,
        suite=request.suite,
        complete=result.complete and bench.complete,
    )


def _row(index: int, choice: Choice, result: EvalResult, cell: CellResult | None) -> ChoiceRow:
    summary = result.targets[index]
    metrics: dict[str, Summary] = {} if cell is None else cell.metrics
    memory = None if cell is None else cell.memory
    return ChoiceRow(
        target=summary.target,
        passes=summary.passes,
        ttft=metrics.get("ttft_seconds"),
        decode=metrics.get("decode_tokens_per_second"),
        answer=metrics.get("total_seconds"),
        peak_rss_bytes=None if memory is None else memory.peak_rss_bytes,
        thousand=thousand(index, result.uses, choice.prices),
        only_answer=summary.only_answer,
        on_front=True,
    )


def thousand(index: int, uses: Sequence[ModelUse], prices: Prices) -> ThousandAnswers | None:
    """What 1,000 answers of a target take, from those that it made."""
    parts = [part for use in uses for part in use.by_target if part.target == index]
    answered = sum(part.answered for part in parts)
    if not answered:
        return None
    seconds = 1000 * math.fsum(part.wall_seconds for part in parts) / answered
    cpu_seconds = 1000 * math.fsum(part.cpu_seconds for part in parts) / answered
    joules = _joules(parts)
    watt_hours = None if joules is None else 1000 * joules / answered / JOULES_PER_WATT_HOUR
    usd, basis = money(prices, seconds, cpu_seconds, watt_hours)
    return ThousandAnswers(answered, seconds, cpu_seconds, watt_hours, usd, basis)


def _joules(parts: Sequence[TargetUse]) -> float | None:
    known = [part.energy_joules for part in parts if part.energy_joules is not None]
    return math.fsum(known) if len(known) == len(parts) else None


def money(
    prices: Prices, seconds: float, cpu_seconds: float, watt_hours: float | None
) -> tuple[Range, Basis]:
    """Time where an hour has a price, else electricity: measured, or estimated from CPU time."""
    if prices.usd_per_hour is not None:
        return _exactly(seconds / 3600 * prices.usd_per_hour), "measured"
    said = prices.usd_per_kwh
    per_kwh = USD_PER_KWH if said is None else _exactly(said)
    if watt_hours is None:
        return usd_of(cpu_seconds, per_kwh), "estimated"
    return per_kwh * (watt_hours / 1000), "estimated" if said is None else "measured"


def _exactly(value: float) -> Range:
    return Range(value, value, value)


def _pairs(result: EvalResult, rows: Sequence[ChoiceRow]) -> Iterator[ChoicePair]:
    targets = [row.target for row in rows]
    for pair in result.pairs:
        if pair.passes is not None:
            yield _pair(pair, targets.index(pair.a), targets.index(pair.b), rows)


def _pair(pair: TargetComparison, i: int, j: int, rows: Sequence[ChoiceRow]) -> ChoicePair:
    passes = pair.passes
    if passes is None:
        raise ValueError("a pair without a case that both sides could score")
    difference, interval = passes.difference, passes.interval
    if difference > 0:  # the second one passed more
        i, j = j, i
    else:
        difference, interval = -difference, Interval(-interval.high, -interval.low)
    adjusted = pair.adjusted["pass"]
    return ChoicePair(
        a=i,
        b=j,
        paired=passes.n,
        difference=difference,
        interval=interval,
        p_value=adjusted,
        better=difference > 0 and is_shown(interval, adjusted),
        speed=_speed(rows[i].answer, rows[j].answer),
        cases_needed=pair.cases_needed,
    )


def _speed(a: Summary | None, b: Summary | None) -> Comparison | None:
    return None if a is None or b is None else compare(a.samples, b.samples)


def _beating(index: int, rows: Sequence[ChoiceRow], pairs: Sequence[ChoicePair]) -> Iterator[int]:
    """The rows that are better than this one in one respect, and worse in none."""
    for pair in pairs:
        if index not in (pair.a, pair.b):
            continue
        other = pair.b if index == pair.a else pair.a
        signs = [
            _sign(pair.better, other == pair.a),
            _faster(pair, other),
            _lighter(rows[other].peak_rss_bytes, rows[index].peak_rss_bytes),
        ]
        if max(signs) > 0 and min(signs) >= 0:
            yield other


def _sign(told: bool, in_favour: bool) -> int:
    return (1 if in_favour else -1) if told else 0


def _faster(pair: ChoicePair, other: int) -> int:
    """1: ``other`` is shown to be faster; -1: slower; 0: neither."""
    if pair.speed is None or pair.speed.verdict not in {"lower", "higher"}:
        return 0
    fast = pair.b if pair.speed.verdict == "lower" else pair.a
    return 1 if other == fast else -1


def _lighter(other: int | None, own: int | None) -> int:
    if other is None or own is None or abs(other - own) <= SAME_MEMORY * max(other, own):
        return 0
    return 1 if other < own else -1
