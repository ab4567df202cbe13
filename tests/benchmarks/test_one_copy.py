"""Runs of both ways, summed up by model, warmth and way."""

from __future__ import annotations

from benchmarks.one_copy import Run, markdown, rows_of
from benchmarks.opening import Opening, line
from localprompt.units import MIB


def _run(way: str, load: float, *, cold: bool = False) -> Run:
    return Run("tiny", way, cold, load, 0.5, 10.0, 200 * MIB, 190 * MIB)


def test_medians_are_taken_by_way_and_warmth() -> None:
    runs = [_run("mapped", load) for load in (1.0, 3.0, 2.0)]
    runs += [_run("read", 4.0), _run("read", 9.0, cold=True)]
    rows = {(row.way, row.cold): row for row in rows_of(runs)}
    assert len(rows) == 3
    mapped = rows["mapped", False]
    assert (mapped.n, mapped.load_seconds, mapped.until_first_token_seconds) == (3, 2.0, 2.5)
    assert rows["read", True].n == 1


def test_the_table_says_which_weights_were_cold() -> None:
    table = markdown(rows_of([_run("read", 1.0, cold=True)]))
    assert "| tiny | cold | read | 1 | 1.00 | 1.50 | 10.0 | 200 | 190 |" in table


def test_an_opening_shows_its_median_and_its_range() -> None:
    openings = [Opening(seconds, 100 * MIB) for seconds in (1.0, 3.0, 2.0)]
    assert line("tiny", "read", openings) == "| tiny | read | 3 | 2.00 (1.00 to 3.00) | 100 |"
