"""A bench on several hands: every cell on each of them, and nothing put together."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

import localprompt
from localprompt.bench import remote
from localprompt.bench.elsewhere import on_each, open_for_bench, run_elsewhere
from localprompt.bench.remote import Begin, Came, More
from localprompt.bench.results import bench_result
from localprompt.cluster import room as room_module
from localprompt.cluster.local import LocalHands
from localprompt.cluster.room import Reply, Room
from localprompt.errors import WorkerError
from localprompt.records import json
from localprompt.records.bench import Experiment
from localprompt.records.ids import new_run_id
from localprompt.records.work import Opening, Weights
from localprompt.views.bench import bench_markdown
from tests.bench.benches import experiment, request
from tests.cluster.clocks import ahead
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


def test_what_a_machine_measures_is_dated_by_this_machines_clock(
    lab: ClusterLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ahead(tmp_path).items():
        monkeypatch.setenv(name, value)
    planned = plan(lab, "one", "refuse")
    started = datetime.now(UTC)
    with LocalHands(1) as hands:
        bench = on_each(planned, open_for_bench(planned, hands, MODULE))
        lab.store.begin(bench)
        run_elsewhere(bench, lab.store, hands, own_threads=True)
    runs = [run for run, _ in lab.store.runs_of(bench.id)]
    moments = [run.created_at for run in runs]
    assert len(runs) == 3
    moments += [failure.created_at for failure in lab.store.failures_of(bench.id)]
    assert len(moments) == 4
    for moment in moments:
        # Fractions of a second pass between what a machine says and when it is heard.
        assert -2 < (datetime.fromisoformat(moment) - started).total_seconds() < 600
    assert bench.id < min(run.id for run in runs)
    assert max(run.id for run in runs) < new_run_id(), "what is made next is the last"


class _OneBench:
    """Lines to a room, as one client sends them."""

    def __init__(self, lab: ClusterLab, room: Room, whose: str) -> None:
        self._room = room
        self._planned = plan(lab, "one")
        weights = lab.find_model("small")
        self._opening = json.encode(
            Opening(
                localprompt.__version__,
                MODULE,
                (Weights(weights.name, weights.sha256),),
                msgspec.Raw(json.encode(whose)),
            )
        )

    def make_ready(self) -> Reply:
        return self._room.answer(self._opening, None)

    def begin(self) -> Reply:
        line = json.encode(Begin(self._planned, (), own_threads=True))
        return self._room.answer(self._opening, line)

    def more(self) -> Reply:
        return self._room.answer(self._opening, json.encode(More()))


def test_a_bench_that_is_under_way_is_not_disturbed_by_somebody_else(lab: ClusterLab) -> None:
    room = Room()
    first, second = _OneBench(lab, room, "first"), _OneBench(lab, room, "second")
    try:
        reply, measured = first.begin(), 0
        assert second.make_ready() == Reply(
            "busy", cause="in the middle of a bench for somebody else"
        )
        while not (came := msgspec.json.decode(reply.given, type=Came)).over:
            measured += len(came.runs)
            reply = first.more()
            assert reply.status == "worked"
        assert measured + len(came.runs) == 3
        assert second.make_ready().status == "ready"
    finally:
        room.close()


def test_a_bench_that_nobody_asks_for_any_more_gives_way(
    lab: ClusterLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_module, "SECONDS_HELD", 0.0)
    room = Room()
    first, second = _OneBench(lab, room, "first"), _OneBench(lab, room, "second")
    try:
        first.begin()
        assert second.make_ready().status == "ready"
        assert "before a bench had begun" in first.more().cause
    finally:
        room.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bench_that_ends_by_a_bug_is_over_for_who_waits_for_it(
    lab: ClusterLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(remote, "run_bench", broken)
    heard = remote._begun(Begin(plan(lab, "one"), (), True), {"small": "small.gguf"}, ("nothing",))
    with pytest.raises(WorkerError, match="a mistake of its program"):
        _all_of(heard)


def _all_of(heard: remote._Heard) -> None:
    while not heard.take().over:
        pass


def test_two_benches_of_the_same_models_have_children_of_their_own(lab: ClusterLab) -> None:
    planned, openings = plan(lab, "one"), []

    class Kept(LocalHands):
        def open(self, opening: Opening) -> None:
            openings.append(opening)
            super().open(opening)

    with Kept(1) as hands:
        for _ in range(2):
            open_for_bench(planned, hands, MODULE)
    first, second = openings
    assert first.weights == second.weights
    assert first.given != second.given
