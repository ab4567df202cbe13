from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from localprompt.errors import HistoryError, InputError
from localprompt.records.run import Samples
from localprompt.store.history import History
from localprompt.store.pruning import Pruned, prune
from localprompt.store.search import Filter
from tests.sample_runs import FIRST_MOMENT, make_run
from tests.sample_tunings import tuning

RUNS = [make_run(number, machine=f"machine-{number // 5}") for number in range(10)]
THIRD = FIRST_MOMENT + timedelta(minutes=3)


@pytest.fixture
def filled(database: Path) -> Path:
    with History(database) as history:
        for run in RUNS:
            history.record(run, Samples((0.1,)))
    return database


def left(database: Path) -> list[str]:
    with History(database, read_only=True) as reader:
        return [run.id for run in reader.runs(oldest_first=True)]


def test_older_runs_are_forgotten(filled: Path) -> None:
    pruned = prune(filled, older_than=THIRD)
    assert (pruned.runs, pruned.runs_left, pruned.compacted) == (3, 7, True)
    assert left(filled) == [run.id for run in RUNS[3:]]


def test_the_last_runs_are_kept(filled: Path) -> None:
    assert prune(filled, keep_last=4).runs == 6
    assert left(filled) == [run.id for run in RUNS[6:]]


def test_the_last_runs_are_kept_whatever_their_age(filled: Path) -> None:
    assert prune(filled, older_than=THIRD, keep_last=8).runs == 2
    assert left(filled) == [run.id for run in RUNS[2:]]


def test_keeping_none_forgets_everything_with_samples_and_machines(filled: Path) -> None:
    pruned = prune(filled, keep_last=0)
    assert (pruned.runs, pruned.runs_left, pruned.compacted) == (10, 0, True)
    with History(filled, read_only=True) as reader:
        stats = reader.stats()
    assert (stats.runs, stats.machines, stats.sample_bytes) == (0, 0, 0)


def test_a_tuning_is_kept_among_the_last_of_its_kind_however_many_runs_go(filled: Path) -> None:
    with History(filled) as history:
        history.keep(tuning())
    assert prune(filled, keep_last=1, dry_run=True).others == 0
    pruned = prune(filled, keep_last=1)
    assert (pruned.runs, pruned.others) == (9, 0)
    with History(filled, read_only=True) as reader:
        assert reader.kept(tuning().id, "tune") == tuning()


def test_a_tuning_that_is_meant_is_counted_and_deleted(filled: Path) -> None:
    with History(filled) as history:
        history.keep(tuning())
    assert prune(filled, keep_last=0, dry_run=True).others == 1
    assert prune(filled, where=Filter(grep="nothing of the kind")).others == 0
    assert prune(filled, where=Filter(grep=tuning().title)).others == 1
    with History(filled, read_only=True) as reader:
        assert reader.listed(("tune",), limit=9) == []


def test_machines_without_runs_are_forgotten(filled: Path) -> None:
    prune(filled, keep_last=5)
    with History(filled, read_only=True) as reader:
        assert reader.stats().machines == 1


def test_nothing_of_a_forgotten_text_stays_on_the_disk_and_its_room_is_freed(
    database: Path,
) -> None:
    with History(database) as history:
        history.record(make_run(text="correct horse battery staple " * 10_000))
        history.record(make_run(1))
    before = database.stat().st_size
    pruned = prune(database, keep_last=1)
    assert pruned.freed_bytes == before - database.stat().st_size > 250_000
    assert all(b"horse" not in part.read_bytes() for part in database.parent.iterdir())


def test_a_dry_run_counts_and_changes_nothing(filled: Path) -> None:
    assert prune(filled, keep_last=4, dry_run=True) == Pruned(6, 4, 0, False)
    assert len(left(filled)) == 10


def test_pruning_nothing_does_not_rewrite_the_file(filled: Path) -> None:
    assert prune(filled, keep_last=10) == Pruned(0, 10, 0, False)


def test_pruning_beside_a_reader_deletes_and_says_that_the_file_was_not_rewritten(
    filled: Path,
) -> None:
    with closing(sqlite3.connect(filled, isolation_level=None)) as other:
        other.execute("BEGIN")
        assert len(other.execute("SELECT id FROM runs").fetchall()) == 10
        pruned = prune(filled, keep_last=1, busy_seconds=0.02)
    assert (pruned.runs, pruned.compacted) == (9, False)
    assert left(filled) == [RUNS[9].id]


def test_pruning_beside_a_writer_deletes_nothing(filled: Path) -> None:
    with closing(sqlite3.connect(filled, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(HistoryError, match="locked"):
            prune(filled, keep_last=1, busy_seconds=0.02)
    assert len(left(filled)) == 10


def test_pruning_a_history_that_does_not_exist_makes_none(database: Path) -> None:
    assert prune(database, keep_last=0) == Pruned(0, 0, 0, False)
    assert not database.exists()


def test_pruning_without_saying_what_is_refused(filled: Path) -> None:
    with pytest.raises(InputError, match="say which runs"):
        prune(filled)
    with pytest.raises(InputError):
        prune(filled, keep_last=-1)
    assert len(left(filled)) == 10
