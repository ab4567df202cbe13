"""A choice among models: one table, and what follows from it in sentences.

Nothing here is called the best by its figures alone. A sentence says that one is better where the
paired cases show it; where they do not, that the cheaper one is as good as far as so many cases can
tell, and what would tell more.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterator

from rich.console import Console

from localprompt.records.choice import ChoicePair, ChoiceResult, ChoiceRow, ThousandAnswers
from localprompt.stats.ranges import Range
from localprompt.stats.samples import Interval, Summary
from localprompt.units import UNKNOWN, format_bytes, format_rate, format_seconds
from localprompt.views.charts import Point, apart, scale
from localprompt.views.eval_charts import HOW_TO_READ
from localprompt.views.eval_text import counts_text, one_label, rate_text, target_names
from localprompt.views.html import render_page
from localprompt.views.markdown import markdown
from localprompt.views.sections import (
    Block,
    Column,
    Fact,
    Lines,
    Notice,
    Notices,
    Row,
    ScatterChart,
    Section,
    Table,
    Value,
)
from localprompt.views.terminal import print_blocks, print_text
from localprompt.views.translation import to_translate, translated


def print_choice(result: ChoiceResult, console: Console) -> None:
    """The table and the sentences."""
    choice = result.choice
    print_text(heading(result), console, "bold")
    print_text(choice.id, console, "dim")
    print_text(f"eval {choice.evaluation}  bench {choice.bench}", console, "dim")
    print_blocks([choice_table(result), *_said(result)], console)


def choice_page(result: ChoiceResult) -> str:
    """The whole file."""
    machine = result.choice.machine
    about = translated(f"{result.choice.id}, measured on {machine.cpu or machine.id}")
    return render_page(heading(result), about, choice_sections(result))


def choice_markdown(result: ChoiceResult) -> str:
    text = markdown([Section("choice", "", (choice_table(result), *_said(result)))], 3)
    return f"## {heading(result)}\n\n{text}"


def choice_sections(result: ChoiceResult, prefix: str = "") -> tuple[Section, ...]:
    """The choice as a page shows it; ``prefix`` keeps ids apart where there are several."""
    charts = tuple(_charts(result))
    return (
        Section(f"{prefix}choice", "Quality, speed, memory, cost", (choice_table(result),)),
        Section(f"{prefix}sentences", "What follows", tuple(_said(result))),
        *([Section(f"{prefix}charts", "Charts", charts)] if charts else []),
    )


def heading(result: ChoiceResult) -> str:
    return translated(
        f"{result.choice.title}: {len(result.rows)} to choose among, {result.cases} cases"
    )


def row_names(result: ChoiceResult) -> tuple[str, ...]:
    return target_names([row.target for row in result.rows])


def models_of(result: ChoiceResult) -> tuple[str, ...]:
    return tuple(shlex.quote(row.target.model.name) for row in result.rows)


def choice_table(result: ChoiceResult) -> Table:
    """A row for each model and prompt."""
    several = len({row.target.prompt for row in result.rows}) > 1
    measured = any(row.thousand and row.thousand.watt_hours is not None for row in result.rows)
    columns = (
        *([Column("prompt", label="bare")] if several else []),
        Column("model", label="titled" if several else "bare"),
        Column("pass rate", numeric=True),
        Column("TTFT", numeric=True),
        Column("decode", numeric=True, spare=2),
        Column("answer", numeric=True),
        Column("peak memory", numeric=True, below=True),
        Column("1,000 take", numeric=True),
        Column("USD", numeric=True, below=True),
        *([Column("energy", numeric=True, spare=1)] if measured else []),
        Column("front", ours=True),
    )
    names = row_names(result)
    rows = []
    for name, row in zip(names, result.rows, strict=True):
        done = row.thousand
        values = (
            *([Value(row.target.prompt, row.target.prompt)] if several else []),
            Value(row.target.model.name, row.target.model.name),
            Value(rate_text(row.passes), row.passes.rate),
            _median(row.ttft, format_seconds),
            _median(row.decode, format_rate),
            _median(row.answer, format_seconds),
            Value(format_bytes(row.peak_rss_bytes), row.peak_rss_bytes),
            _taken(done),
            Value(usd_text(done.usd), done.usd.typical) if done else Value(UNKNOWN),
            *([_energy(done)] if measured else []),
            Value(to_translate("yes" if row.on_front else "no"), "0" if row.on_front else "1"),
        )
        rows.append(Row(name, values, tuple(_facts(row, names))))
    return Table(_caption(result), columns, tuple(rows))


def _caption(result: ChoiceResult) -> str:
    return translated(
        "Pass rate with its 95 % interval. TTFT, decode and answer: medians of one answer to the "
        "case of median length, alone in a process, load excluded. 1,000 answers as the "
        f"evaluation made them, many at once; {_priced(result)}. Front: no other is shown to be "
        "better in pass rate, answer time or memory without being shown to be worse in another."
    )


def _priced(result: ChoiceResult) -> str:
    prices = result.choice.prices
    if prices.usd_per_hour is not None:
        return translated(f"their cost is their time at {prices.usd_per_hour:g} USD an hour")
    usual = translated("0.08 to 0.45")
    kwh = usual if prices.usd_per_kwh is None else f"{prices.usd_per_kwh:g}"
    known = [row.thousand for row in result.rows if row.thousand]
    if known and all(one.watt_hours is not None for one in known):
        return translated(f"their cost is the processor's measured energy at {kwh} USD per kWh")
    return translated(
        f"their cost is electricity, estimated from CPU time at 3 to 20 W a core, {kwh} USD per kWh"
    )


def _median(summary: Summary | None, text: Callable[[float | None], str]) -> Value:
    return Value(UNKNOWN) if summary is None else Value(text(summary.median), summary.median)


def _taken(done: ThousandAnswers | None) -> Value:
    return Value(UNKNOWN) if done is None else Value(format_seconds(done.seconds), done.seconds)


def _energy(done: ThousandAnswers | None) -> Value:
    if done is None or done.watt_hours is None:
        return Value(UNKNOWN)
    return Value(f"{done.watt_hours:.3g} Wh", done.watt_hours)


def usd_text(usd: Range) -> str:
    """``0.0031``, or ``0.001 to 0.009``."""
    if usd.low == usd.high:
        return _plain(usd.typical, 2)
    return f"{_plain(usd.low, 1)} to {_plain(usd.high, 1)}"


def _plain(value: float, digits: int) -> str:
    """So many digits that say something, without an exponent: 0.00002."""
    if value <= 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(value)))
    return f"{value:.{decimals}f}"


def _facts(row: ChoiceRow, names: tuple[str, ...]) -> Iterator[Fact]:
    yield Fact("Passed", counts_text(row.passes))
    if row.beaten_by:
        yield Fact("Behind", ", ".join(names[index] for index in row.beaten_by))
    for name, summary in (("TTFT", row.ttft), (to_translate("Answer"), row.answer)):
        if summary is not None and summary.interval is not None:
            low, high = map(format_seconds, (summary.interval.low, summary.interval.high))
            yield Fact(
                name,
                translated(f"{low} to {high} (95 % interval of the median, n = {summary.n})"),
            )
    if (done := row.thousand) is not None:
        yield Fact("CPU time of 1,000 answers", format_seconds(done.cpu_seconds))
        basis = translated("measured" if done.basis == "measured" else "estimated")
        yield Fact("Their cost", f"{usd_text(done.usd)} USD, {basis}")
        yield Fact("Answers measured", str(done.answered))


def _said(result: ChoiceResult) -> Iterator[Block]:
    said = tuple(sentences(result))
    if said:
        yield Lines(said, quiet=False)
    if notes := tuple(_notices(result)):
        yield Notices(notes)


def _notices(result: ChoiceResult) -> Iterator[Notice]:
    names = row_names(result)
    models = " ".join(f"-m {name}" for name in dict.fromkeys(models_of(result)))
    again = f"localprompt choose {shlex.quote(result.suite)} {models}"
    for name, row in zip(names, result.rows, strict=True):
        if row.only_answer is not None:
            text, advice = one_label(name, row.only_answer, again, result.scoring)
            yield Notice("note", text, advice=advice)
    if not result.complete:
        text = to_translate("incomplete: some answers or repetitions are missing")
        advice = f"localprompt choose --resume {result.choice.id}"
        yield Notice("note", text, advice=advice)


def sentences(result: ChoiceResult) -> Iterator[str]:
    """What the one with the highest pass rate has over each of the others."""
    names = row_names(result)
    best = _highest(result)
    if best is None:
        return
    for pair in result.pairs:
        if pair.a == best:
            yield _sentence(pair, names)


def _highest(result: ChoiceResult) -> int | None:
    """The row that no other has a higher pass rate than, where all were compared."""
    losers = {pair.b for pair in result.pairs}
    winners = [index for index in range(len(result.rows)) if index not in losers]
    return winners[0] if result.pairs and winners else None


def _sentence(pair: ChoicePair, names: tuple[str, ...]) -> str:
    a, b = names[pair.a], names[pair.b]
    if pair.better:
        points = _points(pair.difference, pair.interval)
        text = translated(f"{a} passes {points} more of the cases than {b}")
        return f"{text}{_pace(pair, of='a')}"
    cases = translated("1 case" if pair.paired == 1 else f"{pair.paired} cases")
    text = translated(f"{b} is as good as {a} as far as {cases} can tell")
    text += _pace(pair, of="b")
    if pair.cases_needed is not None:
        text += translated(
            f"; about {pair.cases_needed:,} cases would show a difference of "
            f"{pair.difference * 100:.1f} points (estimated)"
        )
    return text


def _points(difference: float, interval: Interval) -> str:
    low, high = interval.low * 100, interval.high * 100
    return translated(f"{difference * 100:.1f} points ({low:.1f} to {high:.1f})")


def _pace(pair: ChoicePair, *, of: str) -> str:
    """``, and 2.9× as fast (2.5 to 3.3)``, of ``a`` or ``b``; only what the repetitions show."""
    speed = pair.speed
    if speed is None or speed.ratio is None or speed.verdict == "too few samples":
        return ""
    if speed.verdict == "no difference shown":
        return translated(", and no difference in speed is shown")
    # The ratio is of seconds, b's to a's.
    ratio, ends = speed.ratio, speed.ratio_interval
    slower = ratio if of == "b" else 1 / ratio
    is_fast = slower < 1
    times = 1 / slower if is_fast else slower
    if not is_fast:
        said = translated(f", and takes {times:.2g}× as long")
    elif of == "a":
        said = translated(f", and is {times:.2g}× as fast")
    else:
        said = translated(f", and {times:.2g}× as fast")
    if ends is None:
        return said
    turned = is_fast == (of == "b")
    low, high = (1 / ends.high, 1 / ends.low) if turned else (ends.low, ends.high)
    return f"{said} ({low:.2g} to {high:.2g})"


def _charts(result: ChoiceResult) -> Iterator[Block]:
    """Pass rate against what it costs."""
    for title, kind, values in (
        (
            to_translate("Pass rate against answer time"),
            "seconds",
            [r.answer.median if r.answer else None for r in result.rows],
        ),
        (
            to_translate("Pass rate against peak memory"),
            "bytes",
            [r.peak_rss_bytes for r in result.rows],
        ),
    ):
        known = [
            (index, value)
            for index, value in enumerate(values)
            if value is not None and result.rows[index].passes.rate is not None
        ]
        if not known:
            continue
        across = scale(0.0, 1.1 * max(value for _, value in known), kind)  # type: ignore[arg-type]
        up, names = scale(0.0, 100.0, None), row_names(result)
        points = []
        for number, (index, value) in enumerate(known, start=1):
            passes = result.rows[index].passes
            ends = passes.interval or Interval(passes.rate or 0.0, passes.rate or 0.0)
            points.append(
                Point(
                    name=str(number),
                    text=f"{names[index]}: {rate_text(passes)}",
                    x=across.position(value),
                    y=up.position(100 * (passes.rate or 0.0)),
                    interval=(up.position(100 * ends.low), up.position(100 * ends.high)),
                )
            )
        yield ScatterChart(
            f"{translated(title)}, {across.unit}", HOW_TO_READ, apart(points), across, up
        )
