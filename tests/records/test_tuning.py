from __future__ import annotations

from pathlib import Path

from localprompt.records.tuning import frontier
from localprompt.store.history import History
from tests.sample_tunings import Q8, divergence, trial, tuning


def test_the_frontier_has_whoever_nobody_beats_in_all_three() -> None:
    # The usual settings have the best quality, Q8_0 the second best, Q4_0 is fastest.
    assert frontier(tuning().trials) == {"usual", "q8", "q4"}


def test_who_is_slower_larger_and_worse_is_not_on_the_frontier() -> None:
    beaten = trial("x", Q8, 0.3, divergence=divergence(1.2), peak_rss_bytes=400_000_000)
    assert "x" not in frontier((*tuning().trials, beaten))


def test_without_a_figure_of_quality_there_is_no_place_on_the_frontier() -> None:
    assert "mmap" not in frontier(tuning().trials)


def test_a_tuning_is_kept_again_under_its_id(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "history.db"
    with History(path) as store:
        store.keep(tuning(chosen=None, seconds=None))
        store.keep(tuning())
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT kind, json_extract(record, '$.chosen') FROM experiments"
    ).fetchall()
    connection.close()
    assert rows == [("tune", "q8")]
