"""A bench on several hands: every cell on each of them, and nothing put together."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from localprompt.bench.elsewhere import on_each, open_for_bench, run_elsewhere
from localprompt.bench.results import bench_result
from localprompt.cluster.local import LocalHands
from localprompt.records.bench import Experiment
from localprompt.views.bench import bench_markdown
from tests.bench.benches import experiment, request
from tests.cluster.harness import ClusterLab
from tests.cluster.scripted_bench import MODULE

pytestmark = pytest.mark.slow


def plan(lab: ClusterLab, *texts: str) -> Experiment:
    weights = lab.home / "models" / "small.gguf"
    requests = []
    for text in texts:
        one = request(weights, text)
        model = msgspec.structs.replace(one.cell.model, name="small")
        cell = msgspec.structs.replace(one.cell, model=model)
        requests.append(msgspec.structs.replace(one, cell=cell))
    return experiment(requests, 2)


def test_every_machine_has_a_row_for_every_cell(lab: ClusterLab) -> None:
    planned = plan(lab, "one", "two")
    with LocalHands(2) as hands:
        bench = on_each(planned, open_for_bench(planned, hands, MODULE))
        lab.store.begin(bench)
        run_elsewhere(bench, lab.store, hands, own_threads=True)
    runs = lab.store.runs_of(bench.id)
    result = bench_result(bench, runs, lab.store.failures_of(bench.id))
    assert result.complete
    labels = [(cell.cell.labels["machine"], cell.cell.labels["cell"]) for cell in result.cells]
    names = ("worker 1", "worker 2")
    assert sorted(labels) == [(name, cell) for name in names for cell in ("0", "1")]
    assert all(cell.metrics["total_seconds"].n == 2 for cell in result.cells)
    assert all(cell.memory is not None for cell in result.cells)
    text = bench_markdown(result)
    assert "| worker 2" in text
    assert "Measured on worker 1:" in text


def test_a_cell_that_dies_fails_on_each_machine_and_the_others_go_on(lab: ClusterLab) -> None:
    planned = plan(lab, "one", "die SIGABRT")
    with LocalHands(2) as hands:
        bench = on_each(planned, open_for_bench(planned, hands, MODULE))
        lab.store.begin(bench)
        run_elsewhere(bench, lab.store, hands, own_threads=True)
    failures = lab.store.failures_of(bench.id)
    assert Counter(failure.cell.partition("@")[2] for failure in failures).keys() == {
        "worker 1",
        "worker 2",
    }
    assert all("SIGABRT" in failure.cause for failure in failures)
    good = [cell.key for cell in bench.cells if cell.labels["cell"] == "0"]
    assert all(
        sum(run.bench.cell == key for run, _ in lab.store.runs_of(bench.id) if run.bench) == 3
        for key in good
    )


def test_what_is_stored_is_not_measured_again(lab: ClusterLab) -> None:
    planned = plan(lab, "one")
    with LocalHands(1) as hands:
        bench = on_each(planned, open_for_bench(planned, hands, MODULE))
        lab.store.begin(bench)
        run_elsewhere(bench, lab.store, hands, own_threads=True)
        stored = [run for run, _ in lab.store.runs_of(bench.id)]
        open_for_bench(planned, hands, MODULE)
        run_elsewhere(bench, lab.store, hands, runs=stored, own_threads=True)
    assert len(lab.store.runs_of(bench.id)) == len(stored) == 3


def test_a_machine_that_is_not_there_any_more_is_a_failure_of_its_cells(lab: ClusterLab) -> None:
    planned = plan(lab, "one")
    with LocalHands(1) as hands:
        (hand,) = open_for_bench(planned, hands, MODULE)
        gone = msgspec.structs.replace(hand, name="gone")
        bench = on_each(planned, [hand, gone])
        lab.store.begin(bench)
        run_elsewhere(bench, lab.store, hands, own_threads=False)
    (failure,) = lab.store.failures_of(bench.id)
    assert failure.cell.endswith("@gone")
    assert "gone is not there" in failure.cause
