"""Machines of one cluster that differ: their CPUs, clocks and stores; and two clients at once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from localprompt.evaluate.machines import who_is_there
from localprompt.evaluate.runner import EvalProgress
from localprompt.models.store import add_model
from localprompt.records.evaluation import EvalResult
from localprompt.records.ids import new_run_id
from tests.cluster.clocks import AHEAD_SECONDS, ahead
from tests.cluster.harness import ClusterLab, figures, rows
from tests.models.tiny_gguf import tiny_gguf

pytestmark = pytest.mark.slow

SLOW = " slow 1"


@pytest.fixture
def cluster(lab: ClusterLab) -> ClusterLab:
    lab.scheduler()
    lab.write("cases.csv", rows(120, SLOW))
    return lab


def test_machines_with_another_cpu_are_left_out_by_name_where_that_is_asked_for(
    cluster: ClusterLab,
) -> None:
    cluster.worker("one", {"SCRIPTED_CPU": "a Xeon"})
    cluster.worker("two", {"SCRIPTED_CPU": "an EPYC"})
    cluster.worker("three", {"SCRIPTED_CPU": "a Xeon"})
    with cluster.hands(same_cpu_only=True) as hands:
        spread = cluster.carry_out(cluster.plan(), hands)
    assert spread.complete
    assert {use.hand for use in spread.uses} == {"one", "three"}
    assert "two is not asked: another CPU: an EPYC, not a Xeon" in cluster.notes


def test_a_clock_that_is_hours_ahead_changes_no_figure(cluster: ClusterLab, tmp_path: Path) -> None:
    cluster.worker("ahead", ahead(tmp_path))
    cluster.worker("right")
    unbroken, planned = cluster.here(cluster.plan()), cluster.plan()
    started = datetime.now(UTC)

    def interrupt(progress: EvalProgress) -> None:
        raise KeyboardInterrupt

    with cluster.hands() as hands:
        off = {one.name: one.clock_off_seconds or 0 for one in who_is_there(hands)}
    assert off["ahead"] == pytest.approx(AHEAD_SECONDS, abs=60)
    assert off["right"] == pytest.approx(0, abs=60)
    with cluster.hands() as hands, pytest.raises(KeyboardInterrupt):
        cluster.carry_out(planned, hands, on_progress=interrupt)
    assert 0 < len(cluster.store.done(planned.evaluation.id, 0)) < 120
    with cluster.hands() as hands:
        spread = cluster.carry_out(cluster.resumed("last"), hands)
    assert spread.evaluation.id == planned.evaluation.id
    assert cluster.rows_of(spread) == cluster.rows_of(unbroken)
    assert figures(spread) == figures(unbroken)
    assert {use.hand for use in spread.uses} == {"ahead", "right"}
    for use in spread.uses:
        assert 0 <= use.load_seconds < AHEAD_SECONDS / 10
        assert 0 < use.wall_seconds < AHEAD_SECONDS / 10
        assert started <= datetime.fromisoformat(use.created_at) <= datetime.now(UTC)
    for result in cluster.store.results(spread.evaluation.id):
        if result.timing is not None:
            assert 0 <= (result.timing.total_seconds or 0) < AHEAD_SECONDS / 10
    assert spread.evaluation.id < new_run_id()


def test_a_machine_with_other_weights_of_that_name_is_left_out_and_other_names_do_not_matter(
    cluster: ClusterLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    _home(cluster.folder / "others", "small", tiny_gguf() + b"\0" * 32, monkeypatch)
    _home(cluster.folder / "renamed", "tiny", tiny_gguf(), monkeypatch)
    monkeypatch.setenv("LOCALPROMPT_HOME", str(cluster.home))
    for name in ("others", "renamed"):
        cluster.worker(name, {"LOCALPROMPT_HOME": str(cluster.folder / name)})
    with cluster.hands() as hands:
        spread = cluster.carry_out(cluster.plan(), hands)
    assert spread.complete
    assert {use.hand for use in spread.uses} == {"renamed"}
    (said,) = (note for note in cluster.notes if "others is not asked" in note)
    assert "the weights of small are not the ones that are asked for" in said
    assert "sha256" in said


def test_a_machine_that_dies_of_everything_spoils_no_case(cluster: ClusterLab) -> None:
    cluster.worker("dying", {"SCRIPTED_WORKER": "dying"})
    cluster.worker("good")
    unbroken = cluster.here(cluster.plan())
    with cluster.hands() as hands:
        spread = cluster.carry_out(cluster.plan(), hands)
    assert cluster.rows_of(spread) == cluster.rows_of(unbroken)
    assert {use.hand for use in spread.uses} == {"good"}


def test_two_evaluations_at_once_do_not_take_each_others_answers(cluster: ClusterLab) -> None:
    cluster.worker("one")
    cluster.worker("two")
    plain, doubled = cluster.here(cluster.plan()), cluster.here(cluster.plan(repeat=2))
    made: list[EvalResult] = []

    def evaluate() -> None:
        with ClusterLab(cluster.folder) as other, cluster.hands() as hands:
            made.append(other.carry_out(other.plan(repeat=2, parallel=2), hands))

    thread = threading.Thread(target=evaluate)
    thread.start()
    with cluster.hands() as hands:
        spread = cluster.carry_out(cluster.plan(), hands)
    thread.join()
    (beside,) = made
    assert cluster.rows_of(spread) == cluster.rows_of(plain)
    assert cluster.rows_of(beside) == cluster.rows_of(doubled)


def _home(folder: Path, name: str, weights: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "models" / f"{name}.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(weights)
    monkeypatch.setenv("LOCALPROMPT_HOME", str(folder))
    add_model(path, name=name)
