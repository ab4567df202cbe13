"""The same evaluation through a scheduler: workers come, go, crash and differ."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest
from distributed import Future

from localprompt.cluster import hands as hands_module
from localprompt.cluster.hands import connect
from localprompt.cluster.network import Network
from localprompt.errors import HistoryError, InputError, MachineError, WorkerError
from localprompt.evaluate.machines import agreement, who_is_there
from localprompt.evaluate.runner import EvalProgress
from localprompt.records.evaluation import EvalRequest
from tests.cluster.characters import open_characters
from tests.cluster.harness import ClusterLab, child_of, figures, rows, until
from tests.cluster.scripted_worker import MODULE

pytestmark = pytest.mark.slow

SLOW = " slow 2"
"""Each case takes a fiftieth of a second."""


@pytest.fixture
def cluster(lab: ClusterLab) -> ClusterLab:
    lab.scheduler()
    return lab


def test_a_cluster_gives_the_table_of_this_process(cluster: ClusterLab) -> None:
    cluster.write("cases.csv", rows(150, SLOW))
    cluster.worker("one")
    cluster.worker("two")
    unbroken = cluster.here(cluster.plan())
    with cluster.hands() as hands:
        spread = cluster.carry_out(cluster.plan(), hands)
    assert cluster.rows_of(spread) == cluster.rows_of(unbroken)
    assert figures(spread) == figures(unbroken)
    assert {use.hand for use in spread.uses} == {"one", "two"}
    assert sum(use.answered for use in spread.uses) == 150


def test_killed_workers_and_children_lose_and_double_nothing(cluster: ClusterLab) -> None:
    cluster.write("cases.csv", rows(400, SLOW))
    unbroken = cluster.here(cluster.plan())
    first, second = cluster.worker("one"), cluster.worker("two")
    killed: list[str] = []

    def kill(progress: EvalProgress) -> None:
        if progress.done > 60 and "child" not in killed and (child := child_of(second)):
            killed.append("child")
            os.kill(child, signal.SIGKILL)
        elif progress.done > 150 and "worker" not in killed:
            killed.append("worker")
            cluster.worker("late")
            first.kill()

    with cluster.hands() as hands:
        spread = cluster.carry_out(cluster.plan(), hands, on_progress=kill)
    assert killed == ["child", "worker"]
    assert cluster.rows_of(spread) == cluster.rows_of(unbroken)
    assert any("one is gone" in note for note in cluster.notes)
    assert "late" in {use.hand for use in spread.uses}


def test_what_a_dead_worker_had_made_is_not_waited_for(
    cluster: ClusterLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.write("cases.csv", rows(64, SLOW))
    first = cluster.worker("one")
    patience: list[float] = []
    usual = Future.result

    def result(future: Future[bytes], timeout: float) -> bytes:
        patience.append(timeout)
        return usual(future, timeout)

    def kill(progress: EvalProgress) -> None:
        if first.poll() is None:
            cluster.worker("late")  # meanwhile the portion that waited is done, and not fetched
            first.kill()
            first.wait()

    monkeypatch.setattr(Future, "result", result)
    with cluster.hands() as hands:
        spread = cluster.carry_out(cluster.plan(), hands, on_progress=kill)
    assert max(patience) < hands_module._SECONDS_TO_FETCH[-2]
    assert spread.complete
    assert {use.hand for use in spread.uses} == {"one", "late"}


def test_a_dead_scheduler_ends_the_evaluation_and_another_one_finishes_it(
    cluster: ClusterLab, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hands_module, "_SECONDS_TO_CONNECT", 2)
    cluster.write("cases.csv", rows(300, SLOW))
    unbroken = cluster.here(cluster.plan())
    scheduler = cluster.scheduler()
    port = int(cluster.address.rpartition(":")[2])
    cluster.worker("one")
    planned = cluster.plan()

    def kill(progress: EvalProgress) -> None:
        if progress.done > 40 and scheduler.poll() is None:
            cluster.end(scheduler, signal.SIGKILL)

    with cluster.hands() as hands, pytest.raises(MachineError, match="scheduler") as caught:
        cluster.carry_out(planned, hands, on_progress=kill)
    assert "--resume" in str(caught.value.next_step)
    assert "Traceback" not in capfd.readouterr().err
    done = len(cluster.store.done(planned.evaluation.id, 0))
    assert 40 < done < 300
    cluster.scheduler(port)  # its worker has waited for it
    with cluster.hands() as hands:
        resumed = cluster.carry_out(cluster.resumed(planned.evaluation.id), hands)
    assert cluster.rows_of(resumed) == cluster.rows_of(unbroken)


def test_a_worker_that_leaves_takes_its_child_with_it(cluster: ClusterLab) -> None:
    cluster.write("cases.csv", rows(40))
    worker = cluster.worker("one")
    with cluster.hands() as hands:
        cluster.carry_out(cluster.plan(), hands)
    child = child_of(worker)
    assert child is not None
    cluster.end(worker)
    until(lambda: not os.path.exists(f"/proc/{child}"), 10)  # noqa: PTH110


def test_one_machine_without_room_is_left_out_and_named(cluster: ClusterLab) -> None:
    cluster.write("cases.csv", rows(150, SLOW))
    cluster.worker("small", {"SCRIPTED_WORKER": "small"})
    cluster.worker("wrong", {"SCRIPTED_WORKER": "wrong"})
    cluster.worker("good")
    with cluster.hands() as hands:
        spread = cluster.carry_out(cluster.plan(), hands)
    assert spread.complete
    assert {use.hand for use in spread.uses} == {"good"}
    said = "\n".join(cluster.notes)
    assert "small is not asked: small would not fit into free memory" in said
    assert "wrong is not asked" in said


def test_a_machine_without_the_model_or_with_another_is_named(cluster: ClusterLab) -> None:
    cluster.write("cases.csv", rows(4))
    (cluster.folder / "empty").mkdir()
    cluster.worker("empty", {"LOCALPROMPT_HOME": str(cluster.folder / "empty")})
    with cluster.hands() as hands, pytest.raises(WorkerError) as caught:
        cluster.carry_out(cluster.plan(), hands)
    assert "no model is called 'small'" in str(caught.value.found)
    assert "cluster check" in str(caught.value.next_step)


def test_another_version_on_a_worker_is_named(
    cluster: ClusterLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.write("cases.csv", rows(4))
    cluster.worker("old")
    planned = cluster.plan()
    monkeypatch.setattr("localprompt.__version__", "99.0")
    with cluster.hands() as hands, pytest.raises(WorkerError) as caught:
        cluster.carry_out(planned, hands)
    assert "another version of localprompt; expected 99.0" in str(caught.value.found)


def test_without_a_machine_it_waits_and_then_says_what_to_start(
    cluster: ClusterLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hands_module, "SECONDS_FOR_FIRST", 0.5)
    cluster.write("cases.csv", rows(4))
    with cluster.hands() as hands, pytest.raises(WorkerError) as caught:
        cluster.carry_out(cluster.plan(), hands)
    assert "cluster worker" in str(caught.value.next_step)
    assert any("waiting for a machine" in note for note in cluster.notes)


def test_a_history_that_cannot_be_written_ends_it_with_all_that_was_kept(
    cluster: ClusterLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localprompt.evaluate.runner._SECONDS_BETWEEN_SAVES", 0)
    cluster.write("cases.csv", rows(100, SLOW))
    cluster.worker("one")
    planned, add, calls = cluster.plan(), cluster.store.add, []

    def full(*given: object) -> None:
        calls.append(given)
        if len(calls) > 20:
            raise HistoryError("the disk is full")
        add(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(cluster.store, "add", full)
    with cluster.hands() as hands, pytest.raises(HistoryError, match="full"):
        cluster.carry_out(planned, hands)
    monkeypatch.setattr(cluster.store, "add", add)
    assert len(cluster.store.done(planned.evaluation.id, 0)) == 20
    with cluster.hands() as hands:
        resumed = cluster.carry_out(cluster.resumed(planned.evaluation.id), hands)
    assert resumed.complete


def test_machines_say_what_they_are_and_whether_they_agree(cluster: ClusterLab) -> None:
    cluster.worker("one")
    cluster.worker("two")
    with cluster.hands() as hands:
        found = who_is_there(hands, hands.problems())
        model = cluster.find_model("small")
        agreed = agreement(
            model, EvalRequest(suite=""), hands, module=MODULE, open_engine=open_characters
        )
    assert [one.name for one in found] == ["one", "two"]
    assert all(one.facts is not None and model.sha256 in one.facts.sha256s for one in found)
    assert all(abs(one.clock_off_seconds or 0) < 5 for one in found)
    assert agreed.differing == {"one": 0, "two": 0}
    assert agreed.prompts == 20


def test_an_address_where_nobody_is_or_somebody_else_answers_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hands_module, "_SECONDS_TO_CONNECT", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            for _ in range(30):
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        started = time.monotonic()
        with pytest.raises(MachineError, match="no scheduler of a cluster answers"):
            connect(f"tcp://127.0.0.1:{port}", Network())
        assert time.monotonic() - started < 40
    with pytest.raises(MachineError, match="no scheduler of a cluster answers"):
        connect(f"tcp://127.0.0.1:{port}", Network())


@pytest.mark.parametrize("address", ["head", "http://head:1", "tcp://head", "tcp://head:x", ""])
def test_what_is_not_an_address_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="not the address"):
        connect(address, Network())
