from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from localprompt.errors import HistoryError, UnknownNameError
from localprompt.records.bench import CellFailure
from localprompt.records.run import Samples
from localprompt.store.history import History
from localprompt.store.pruning import prune
from localprompt.store.search import Filter
from tests.sample_runs import in_bench, make_experiment, make_run
from tests.sample_tunings import tuning

RUN = in_bench(make_run(5))
TIMES = Samples((0.1, 0.2))


@pytest.fixture
def with_bench(database: Path) -> Path:
    with History(database) as history:
        history.record(make_run(0))
        history.begin(make_experiment(0))
        history.begin(make_experiment(1))
        history.record(RUN, TIMES)
    return database


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def test_an_experiment_comes_back_with_its_runs_and_their_raw_times(with_bench: Path) -> None:
    with History(with_bench, read_only=True) as history:
        experiment = history.bench("last~1")
        assert experiment == make_experiment(0)
        assert history.runs_of(experiment.id) == [(RUN, TIMES)]
        assert history.runs_of(make_experiment(1).id) == []


def test_benches_come_newest_first(with_bench: Path) -> None:
    with History(with_bench, read_only=True) as history:
        assert history.bench("last").id == make_experiment(1).id
        assert [one.title for one in history.benches()] == ["bench 1", "bench 0"]
        assert [one.title for one in history.benches(limit=1)] == ["bench 1"]


def test_what_stands_for_itself_is_kept_under_its_kind_and_can_be_replaced(
    database: Path,
) -> None:
    with History(database) as history:
        history.keep(tuning())
        history.keep(tuning(title="further"))
        found = history.kept(tuning().id, "tune")
    assert found == tuning(title="further")


def test_a_beginning_that_two_experiments_share_is_refused(with_bench: Path) -> None:
    with (
        History(with_bench, read_only=True) as history,
        pytest.raises(UnknownNameError, match="more than one bench"),
    ):
        history.bench("0")


def test_a_run_and_its_place_are_stored_together_or_not_at_all(with_bench: Path) -> None:
    same_place = in_bench(make_run(6))
    with (
        History(with_bench) as history,
        pytest.raises(HistoryError, match="contradicts"),
    ):
        history.record(same_place)
    with History(with_bench, read_only=True) as reader:
        assert [run.id for run in reader.runs(Filter(kind="bench"))] == [RUN.id]


def test_a_run_of_an_experiment_that_is_not_stored_is_refused(with_bench: Path) -> None:
    with History(with_bench) as history, pytest.raises(HistoryError):
        history.record(in_bench(make_run(6), experiment=7))


def test_failures_are_kept_in_their_order_beside_the_runs(with_bench: Path) -> None:
    experiment = make_experiment(0)
    failures = [CellFailure(experiment.id, "cell", f"t{i}", f"cause {i}") for i in range(2)]
    with History(with_bench) as history:
        for failure in failures:
            history.fail(failure)
    with History(with_bench, read_only=True) as reader:
        assert reader.failures_of(experiment.id) == failures
        assert len(reader.runs_of(experiment.id)) == 1


def test_a_plan_is_forgotten_with_the_last_of_its_runs(with_bench: Path) -> None:
    prune(with_bench, older_than=datetime(2100, 1, 1, tzinfo=UTC), keep_last=1)
    assert rows(with_bench, "SELECT id FROM experiments") == [(make_experiment(0).id,)]
    prune(with_bench, keep_last=0)
    assert rows(with_bench, "SELECT id FROM experiments UNION SELECT run_id FROM results") == []


def test_a_damaged_plan_is_an_error_that_names_it(with_bench: Path) -> None:
    with closing(sqlite3.connect(with_bench)) as connection, connection:
        connection.execute("UPDATE experiments SET record = json_set(record, '$.cells', 5)")
    with History(with_bench, read_only=True) as history, pytest.raises(HistoryError) as caught:
        history.bench("last")
    assert make_experiment(1).id in str(caught.value)


def test_earlier_runs_are_those_of_the_same_weights_on_the_same_machine(with_bench: Path) -> None:
    with History(with_bench, read_only=True) as history:
        found = history.earlier_runs("b1" * 32, "machine-a")
        assert [run.id for run in found] == [RUN.id, make_run(0).id]
        assert history.earlier_runs("b1" * 32, "machine-b") == []
