"""Repetitions: how steady the answers of each target are, and which cases end differently."""

from __future__ import annotations

from collections.abc import Iterator

from localprompt.records.evaluation import EvalResult, RepeatedCase, TargetSummary
from localprompt.units import UNKNOWN
from localprompt.views.eval_text import target_names
from localprompt.views.sections import Column, Row, Table, Value
from localprompt.views.translation import translated

MOST_CASES = 20
"""That are named; all of them are in the exports."""

_CASES = (
    Column("case", prose=True),
    Column("target", label="bare"),
    Column("passed", numeric=True),
    Column("pass^k", numeric=True),
    Column("consistency", numeric=True),
    Column("answers", numeric=True),
)


def repetition_tables(result: EvalResult) -> Iterator[Table]:
    """One row for each target, and one for each case that flips; nothing where nothing was
    repeated."""
    names = target_names([summary.target for summary in result.targets])
    repeated = [(n, s) for n, s in zip(names, result.targets, strict=True) if s.repeated]
    if not repeated:
        return
    yield _by_target(repeated)
    flipping = [
        (case, name)
        for name, summary in repeated
        if summary.repeated
        for case in summary.repeated.cases
        if case.flips
    ]
    if flipping:
        flipping.sort(key=lambda found: found[0].consistency)
        yield _by_case(flipping)


def _by_target(repeated: list[tuple[str, TargetSummary]]) -> Table:
    most = max(len(s.repeated.pass_power) for _, s in repeated if s.repeated)
    columns = (
        Column("target", label="bare"),
        *(Column(f"pass^{k}", numeric=True, spare=k if 1 < k < most else 0)
          for k in range(1, most + 1)),
        Column("cases that flip", numeric=True),
        Column("consistency", numeric=True),
    )  # fmt: skip
    rows = []
    for name, summary in repeated:
        found = summary.repeated
        if found is None:
            continue
        powers = [*found.pass_power, *[None] * (most - len(found.pass_power))]
        values = (*map(_percent, powers), _percent(found.flipping), _percent(found.consistency))
        rows.append(Row(name, (Value(name, name), *values)))
    caption = translated(
        "pass^k: how probable it is that k tries at a case all pass. Consistency: the share of the "
        "repetitions that ended as most of them did. Means over the cases."
    )
    return Table(caption, columns, tuple(rows))


def _by_case(flipping: list[tuple[RepeatedCase, str]]) -> Table:
    rows = tuple(
        Row(
            case.case_id,
            (
                Value(case.case_id, case.case_id),
                Value(name, name),
                Value(f"{case.passed} of {case.scored}", case.passed / case.scored),
                _percent(float(case.passed == case.scored)),
                _percent(case.consistency),
                Value(str(case.answers), case.answers),
            ),
        )
        for case, name in flipping[:MOST_CASES]
    )
    left = len(flipping) - len(rows)
    caption = translated("Cases of which some repetitions passed and some failed.")
    if left:
        caption += " " + translated(f"{left} more are in the json and csv.")
    return Table(caption, _CASES, rows)


def _percent(value: float | None) -> Value:
    return Value(UNKNOWN if value is None else f"{value * 100:.1f} %", value)
