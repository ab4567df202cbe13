from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from localprompt.errors import HistoryError, UnknownNameError
from localprompt.records.bench import CellFailure
from localprompt.records.run import Samples
from localprompt.store.experiments import ExperimentReader
from localprompt.store.pruning import prune
from localprompt.store.reader import HistoryReader
from localprompt.store.writer import HistoryWriter
from tests.sample_runs import in_bench, make_experiment, make_run

RUN = in_bench(make_run(5))
TIMES = Samples((0.1, 0.2))


@pytest.fixture
def with_bench(database: Path) -> Path:
    with HistoryWriter(database) as history:
        history.record(make_run(0))
        history.begin(make_experiment(0))
        history.begin(make_experiment(1))
        history.record(RUN, TIMES)
    return database


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def test_an_experiment_comes_back_with_its_runs_and_their_raw_times(with_bench: Path) -> None:
    with ExperimentReader(with_bench) as history:
        experiment = history.experiment("last~1")
        assert experiment == make_experiment(0)
        assert history.runs_of(experiment.id) == [(RUN, TIMES)]
        assert history.runs_of(make_experiment(1).id) == []


def test_last_counts_experiments_and_not_runs(with_bench: Path) -> None:
    with ExperimentReader(with_bench) as history:
        assert history.experiment("last").id == make_experiment(1).id
        assert history.resolve("last") == RUN.id
        assert [one.title for one in history.experiments()] == ["bench 1", "bench 0"]


def test_an_experiment_is_found_by_the_beginning_of_its_id_in_either_case(with_bench: Path) -> None:
    beginning = make_experiment(1).id[:12].lower()
    with ExperimentReader(with_bench) as history:
        assert history.experiment(beginning) == make_experiment(1)


@pytest.mark.parametrize("reference", ["last~2", "ZZZ", "no such", RUN.id])
def test_an_unknown_experiment_is_named_with_those_that_there_are(
    with_bench: Path, reference: str
) -> None:
    with (
        ExperimentReader(with_bench) as history,
        pytest.raises(UnknownNameError, match="there is no bench") as caught,
    ):
        history.experiment(reference)
    assert caught.value.nearest == (make_experiment(1).id, make_experiment(0).id)


def test_a_beginning_that_two_experiments_share_is_refused(with_bench: Path) -> None:
    with (
        ExperimentReader(with_bench) as history,
        pytest.raises(UnknownNameError, match="more than one bench"),
    ):
        history.experiment("0")


def test_a_run_and_its_place_are_stored_together_or_not_at_all(with_bench: Path) -> None:
    same_place = in_bench(make_run(6))
    with (
        HistoryWriter(with_bench) as history,
        pytest.raises(HistoryError, match="contradicts"),
    ):
        history.record(same_place)
    with HistoryReader(with_bench) as reader:
        assert [run.id for run in reader.runs(kind="bench")] == [RUN.id]


def test_a_run_of_an_experiment_that_is_not_stored_is_refused(with_bench: Path) -> None:
    with HistoryWriter(with_bench) as history, pytest.raises(HistoryError):
        history.record(in_bench(make_run(6), experiment=7))


def test_failures_are_kept_in_their_order_beside_the_runs(with_bench: Path) -> None:
    experiment = make_experiment(0)
    failures = [CellFailure(experiment.id, "cell", f"t{i}", f"cause {i}") for i in range(2)]
    with HistoryWriter(with_bench) as history:
        for failure in failures:
            history.fail(failure)
    with ExperimentReader(with_bench) as reader:
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
    with ExperimentReader(with_bench) as history, pytest.raises(HistoryError) as caught:
        history.experiment("last")
    assert make_experiment(1).id in str(caught.value)


def test_earlier_runs_are_those_of_the_same_weights_on_the_same_machine(with_bench: Path) -> None:
    with ExperimentReader(with_bench) as history:
        found = history.earlier_runs("b1" * 32, "machine-a")
        assert [run.id for run in found] == [RUN.id, make_run(0).id]
        assert history.earlier_runs("b1" * 32, "machine-b") == []
