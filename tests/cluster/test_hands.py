"""Which workers are asked, and what becomes of those that come, go or differ: no network here."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from localprompt.cluster import hands as hands_module
from localprompt.cluster.hands import RESOURCE, ClusterHands
from localprompt.cluster.room import Reply
from localprompt.errors import WorkerError
from localprompt.records import json
from localprompt.records.run import Machine
from localprompt.records.work import NOTHING, Done, Opening
from tests.sample_runs import make_run

OPENING = Opening("1", "a.module", (), NOTHING)
LINE = msgspec.Raw(b'"a line"')


class FakeFuture:
    """A task of a worker that has not been done yet."""

    def __init__(self, key: str, address: str, line: bytes | None) -> None:
        self.key = key
        self.address = address
        self.line = line
        self.cancelled = False
        self._reply = b""
        self._told: list[Callable[[FakeFuture], object]] = []

    def add_done_callback(self, tell: Callable[[FakeFuture], object]) -> None:
        self._told.append(tell)

    def end(self, reply: Reply) -> None:
        self._reply = json.encode(reply)
        for tell in self._told:
            tell(self)

    def result(self, timeout: float) -> bytes:
        return self._reply

    def cancel(self) -> None:
        self.cancelled = True

    def release(self) -> None:
        pass


class FakeClient:
    """A Dask client whose workers are a dict, and whose tasks end when a test says so."""

    def __init__(self) -> None:
        self.status = "running"
        self.scheduler = SimpleNamespace(address="tcp://head:8786")
        self.there: dict[str, dict[str, Any]] = {}
        self.tasks: list[FakeFuture] = []

    def come(self, address: str, name: str, life: str = "first") -> None:
        self.there[address] = {
            "name": name,
            "local_directory": life,
            "resources": {RESOURCE: 1},
        }

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {"workers": dict(self.there)}

    def submit(self, _: object, *given: bytes | None, key: str, **how: Any) -> FakeFuture:
        (address,) = how.get("workers", [""])
        task = FakeFuture(key, address, given[-1] if given else None)
        self.tasks.append(task)
        return task

    def close(self, timeout: float) -> None:
        pass

    def end(self, address: str, reply: Reply) -> None:
        """The oldest task of a worker that has not ended."""
        task = next(t for t in self.tasks if t.address == address and not t.cancelled)
        self.tasks.remove(task)
        task.end(reply)


def machine(cpu: str | None) -> Machine:
    return msgspec.structs.replace(make_run().machine, cpu=cpu)


def ready(cpu: str | None = "a CPU") -> Reply:
    return Reply("ready", machine(cpu))


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    monkeypatch.setattr(hands_module, "_SECONDS_BETWEEN_LOOKS", 0.0)
    return FakeClient()


def opened(client: FakeClient, notes: list[str] | None = None, **how: bool) -> ClusterHands:
    said = [] if notes is None else notes
    hands = ClusterHands(client, note=said.append, **how)  # type: ignore[arg-type]
    hands.open(OPENING)
    return hands


def names(hands: ClusterHands) -> list[str]:
    return [hand.name for hand in hands.ready()]


def came(hands: ClusterHands) -> Done | None:
    return hands.next(0.01)


def test_of_several_cpus_the_one_that_most_have_is_kept_and_the_others_are_named(
    client: FakeClient,
) -> None:
    notes: list[str] = []
    for address, name in (("a", "one"), ("b", "two"), ("c", "three")):
        client.come(address, name)
    hands = opened(client, notes, same_cpu_only=True)
    client.end("a", ready("an EPYC"))
    came(hands)
    assert names(hands) == [], "until all have said what they are"
    client.end("b", ready("a Xeon"))
    client.end("c", ready("an EPYC"))
    came(hands), came(hands)
    assert names(hands) == ["one", "three"]
    assert notes == ["two is not asked: another CPU: a Xeon, not an EPYC"]
    assert list(hands.problems()) == [("two", "another CPU: a Xeon, not an EPYC")]
    client.come("d", "late")
    names(hands)
    client.end("d", ready("a Xeon"))
    came(hands)
    assert names(hands) == ["one", "three"], "whoever comes late is held to it, too"


def test_the_cpu_stays_the_same_for_the_next_model(client: FakeClient) -> None:
    client.come("a", "one")
    hands = opened(client, same_cpu_only=True)
    client.end("a", ready("a Xeon"))
    came(hands)
    assert names(hands) == ["one"]
    for address in ("b", "c"):
        client.come(address, address)
    hands.open(OPENING)
    for address, cpu in (("a", "a Xeon"), ("b", "an EPYC"), ("c", "an EPYC")):
        client.end(address, ready(cpu))
        came(hands)
    assert names(hands) == ["one"]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_of_as_many_of_each_cpu_it_does_not_matter_who_came_first(
    client: FakeClient, order: tuple[str, str]
) -> None:
    for name in order:
        client.come(name, name)
    hands = opened(client, same_cpu_only=True)
    client.end("a", ready("a Xeon"))
    client.end("b", ready("an EPYC"))
    came(hands), came(hands)
    assert names(hands) == ["a"]


def test_machines_that_do_not_know_their_cpu_are_alike(client: FakeClient) -> None:
    client.come("a", "one")
    hands = opened(client, same_cpu_only=True)
    client.end("a", ready(None))
    came(hands)
    assert names(hands) == ["one"]


def test_who_opens_slowly_is_asked_though_the_others_are_through(client: FakeClient) -> None:
    client.come("a", "fast")
    client.come("b", "slow")
    hands = opened(client)
    client.end("a", ready())
    came(hands)
    hands.drop()  # a target is answered; the next one asks the same model
    client.end("b", ready())
    came(hands)
    assert names(hands) == ["fast", "slow"]


def test_another_worker_at_the_address_of_one_that_is_gone_is_another(client: FakeClient) -> None:
    notes: list[str] = []
    client.come("a", "one")
    hands = opened(client, notes)
    client.end("a", ready())
    came(hands)
    ticket = hands.give("one", LINE)
    (given,) = client.tasks
    client.come("a", "other", life="second")
    assert came(hands) == Done(ticket, "one", cause="one went away while it worked", lost=True), (
        "nothing is said of who answered what, so it is asked again"
    )
    assert given.cancelled
    assert names(hands) == []
    client.end("a", ready())
    came(hands)
    assert names(hands) == ["other"]
    assert notes == ["one is gone; others take over its work"]


def test_work_for_a_worker_that_has_just_gone_comes_back_as_lost(client: FakeClient) -> None:
    client.come("a", "one")
    hands = opened(client)
    client.end("a", ready())
    came(hands)
    client.there.clear()
    assert names(hands) == []
    ticket = hands.give("one", LINE)
    done = came(hands)
    assert done is not None
    assert (done.ticket, done.lost, done.cause) == (ticket, True, "one is gone")


def test_a_worker_that_is_busy_for_somebody_else_is_asked_again(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hands_module, "SECONDS_WHILE_BUSY", 0.0)
    notes: list[str] = []
    client.come("a", "one")
    hands = opened(client, notes)
    client.end("a", ready())
    came(hands)
    ticket = hands.give("one", LINE)
    for _ in range(2):
        client.end("a", Reply("busy", cause="in the middle of a bench"))
        done = came(hands)
        assert done is None or (done.ticket, done.lost) == (ticket, True)
        assert names(hands) == []
    assert notes == ["one is busy: in the middle of a bench"]
    client.end("a", ready())
    came(hands)
    assert names(hands) == ["one"]
    assert list(hands.problems()) == []


@pytest.mark.parametrize("waits", [True, False])
def test_where_all_are_busy_an_evaluation_waits_and_a_check_does_not(
    client: FakeClient, waits: bool
) -> None:
    client.come("a", "one")
    hands = opened(client, waits_for_busy=waits)
    client.end("a", Reply("busy", cause="in the middle of a bench"))
    came(hands)
    if waits:
        assert came(hands) is None
    else:
        with pytest.raises(WorkerError, match="no machine of the cluster can do this") as caught:
            came(hands)
        assert caught.value.found == "one: in the middle of a bench"


def test_many_machines_that_lack_the_same_are_said_in_one_breath(client: FakeClient) -> None:
    for number in range(1, 9):
        client.come(f"a{number}", f"pc{number}")
    hands = opened(client)
    for number in range(1, 9):
        cause = "no model is called x" if number < 8 else "not enough memory"
        client.end(f"a{number}", Reply("unfit", cause=cause))
        came(hands)
    with pytest.raises(WorkerError) as caught:
        came(hands)
    assert caught.value.found == (
        "pc1, pc2, pc3, pc4, pc5 and 2 more: no model is called x; pc8: not enough memory"
    )


def test_who_worked_and_went_away_is_waited_for_though_the_rest_cannot_do_it(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    client.come("a", "good")
    client.come("b", "small")
    hands = opened(client, notes)
    client.end("a", ready())
    client.end("b", Reply("unfit", cause="it would not fit"))
    came(hands), came(hands)
    hands.give("good", LINE)
    client.end("a", Reply("worked", machine("a CPU")))
    came(hands)
    del client.there["a"]
    assert came(hands) is None
    assert notes[-1] == "waiting for a machine: the cluster has none that can do this"
    monkeypatch.setattr(hands_module, "SECONDS_FOR_ANOTHER", 0.0)
    with pytest.raises(WorkerError, match="had no machine"):
        came(hands)
    hands.open(OPENING)
    client.end("b", Reply("unfit", cause="it would not fit"))
    came(hands)
    with pytest.raises(WorkerError, match="no machine of the cluster can do this"):
        came(hands)


def test_two_clients_of_one_scheduler_never_name_their_work_alike(client: FakeClient) -> None:
    client.come("a", "one")
    first, second = opened(client), opened(client)
    for _ in range(2):
        client.end("a", ready())
    came(first), came(second)
    for hands in (first, second):
        hands.give("one", LINE)
        hands.give("one", LINE)
    assert len({task.key for task in client.tasks}) == 4


def test_where_nobody_is_there_a_task_for_anybody_says_that_somebody_is_wanted(
    client: FakeClient,
) -> None:
    hands = opened(client)
    for _ in range(3):
        assert came(hands) is None
    (knock,) = client.tasks
    assert knock.address == ""
    client.come("a", "one")
    assert names(hands) == []
    client.end("a", ready())
    came(hands)
    assert names(hands) == ["one"]
