"""The workers of a Dask cluster as hands.

Each line of work is a task for one worker by its address: who comes late is given work at the next
look around, and nothing waits in a queue for whoever is slow. What was given to a worker that is
gone comes back as lost. The scheduler only passes bytes on; if it goes, the evaluation ends with
all that came back kept.
"""

from __future__ import annotations

import queue
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Self

import msgspec
from distributed import Client, Future

from localprompt.cluster import network, room
from localprompt.cluster.network import Network
from localprompt.errors import MachineError, WorkerError
from localprompt.records import json
from localprompt.records.work import Done, Hand, Opening

RESOURCE = "process"
"""What a worker of ours has one of, and other Dask workers have not."""
SECONDS_FOR_FIRST = 60.0
"""How long to wait for a worker at the beginning."""
SECONDS_FOR_ANOTHER = 600.0
"""How long to wait for one where all are gone."""
SECONDS_WHILE_BUSY = 5.0
"""Between one question and the next to a worker that is busy for somebody else."""
_SECONDS_TO_CONNECT = 10
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_TO_FETCH = (0.5, 2.0, 8.0, 20.0)
"""Of an answer, try by try: between two it is seen whether its worker is still there."""
_MORE_THAN_ENOUGH = 10**6
_MOST_NAMED = 5


def connect(address: str, chosen: Network) -> Client:
    """
    Raises:
        InputError: the address may not be used like that.
        MachineError: no scheduler answers there.
    """
    network.check_reachable(address, chosen)
    network.settle_down()
    security = network.security(chosen)
    try:
        return Client(
            address,
            security=security,
            timeout=_SECONDS_TO_CONNECT,
            set_as_default=False,
            name="localprompt",
        )
    except Exception as error:
        raise network.no_scheduler(address, error) from error


class _Worker(msgspec.Struct):
    """A worker as it is known here."""

    name: str
    life: str = ""
    """What it is from its start to its end: an address may be another worker's soon after."""
    hand: Hand | None = None
    unfit: str | None = None
    """Why it is not asked."""
    admission: int | None = None
    """The ticket of its opening, while that is under way."""
    ask_again_at: float | None = None
    """Where it is only busy for somebody else: when to try once more."""


class ClusterHands:
    """Implements :class:`localprompt.records.work.Hands`; close it, or use it as a context manager.

    Args:
        client: connected; closed with the hands.
        same_cpu_only: leave out workers whose CPU is not the one that most have when the first
            are ready; it stays that one.
        waits_for_busy: wait for workers that are busy for somebody else, where there are no others.
        note: told what a user should know of workers that come, go or cannot be used.
    """

    def __init__(
        self,
        client: Client,
        *,
        same_cpu_only: bool = False,
        waits_for_busy: bool = True,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._waits_for_busy = waits_for_busy
        self._same_cpu_only = same_cpu_only
        self._note = note
        self._address = str(client.scheduler.address) if client.scheduler else ""
        self._opening = b""
        self._workers: dict[str, _Worker] = {}
        self._given: dict[int, tuple[str, Future[bytes]]] = {}
        self._came: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._lost: list[Done] = []
        self._ticket = 0
        self._run = uuid.uuid4().hex
        self._looked = 0.0
        self._without: float | None = None
        self._knock: Future[bool] | None = None
        self._worked = False
        self._cpu: str | None = None

    def open(self, opening: Opening) -> None:
        self._forget(list(self._given))
        self._lost.clear()
        self._opening = json.encode(opening)
        self._workers.clear()
        self._worked = False
        self._waits_no_more()
        self._look(at_once=True)

    def ready(self) -> tuple[Hand, ...]:
        self._look()
        if self._same_cpu_only:
            if self._cpu is None:
                if self.opening():
                    return ()
                counted = Counter(_cpu_of(worker.hand) for worker in self._ready_workers())
                # Of as many machines of each, the same is taken whoever came first.
                self._cpu = max(sorted(counted), key=lambda cpu: counted[cpu], default=None)
            for worker in self._ready_workers():
                if (cpu := _cpu_of(worker.hand)) != self._cpu:
                    self._set_aside(worker, f"another CPU: {cpu}, not {self._cpu}")
        return tuple(worker.hand for worker in self._ready_workers() if worker.hand is not None)

    def opening(self) -> bool:
        return any(worker.admission is not None for worker in self._workers.values())

    def give(self, hand: str, line: msgspec.Raw) -> int:
        for address, worker in self._workers.items():
            if worker.name == hand:
                return self._submit(address, bytes(line))
        self._ticket += 1  # it went away since it was said to be ready
        self._lost.append(Done(self._ticket, hand, cause=f"{hand} is gone", lost=True))
        return self._ticket

    def next(self, seconds: float) -> Done | None:
        self._look()
        if self._lost:
            return self._lost.pop()
        try:
            ticket = self._came.get(timeout=seconds)
        except queue.Empty:
            self._check_patience()
            return None
        if (given := self._given.pop(ticket, None)) is None:
            return None
        return self._arrived(ticket, *given)

    def drop(self) -> None:
        opening = {worker.admission for worker in self._workers.values()}
        self._forget([ticket for ticket in self._given if ticket not in opening])
        self._lost.clear()

    def problems(self) -> Iterator[tuple[str, str]]:
        """The workers that are not asked, with why; as it is when this is read."""
        for worker in self._workers.values():
            if worker.unfit is not None:
                yield worker.name, worker.unfit

    def close(self) -> None:
        self._forget(list(self._given))
        with suppress(Exception):
            self._client.close(timeout=2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- who is there

    def _look(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self._looked < _SECONDS_BETWEEN_LOOKS:
            return
        found = self._seen()
        self._looked = time.monotonic()
        for address, worker in list(self._workers.items()):
            if address not in found or worker.life != _life_of(found[address]):
                self._gone(address)
        for address, info in found.items():
            if address not in self._workers:
                self._welcome(address, info)
            elif self._is_due(worker := self._workers[address]):
                worker.admission = self._submit(address, None)

    def _welcome(self, address: str, info: dict[str, Any]) -> None:
        worker = _Worker(str(info.get("name") or address), _life_of(info))
        self._workers[address] = worker
        if not info.get("resources", {}).get(RESOURCE):
            self._set_aside(worker, "not started as a worker of localprompt")
        else:
            worker.admission = self._submit(address, None)

    def _is_due(self, worker: _Worker) -> bool:
        """Whether it was busy, and long enough ago."""
        again = worker.ask_again_at
        return again is not None and worker.admission is None and self._looked >= again

    def _ready_workers(self) -> list[_Worker]:
        return [worker for worker in self._workers.values() if worker.hand is not None]

    def _seen(self) -> dict[str, dict[str, Any]]:
        """The workers, by address.

        Raises:
            MachineError: the scheduler is gone.
        """
        if self._client.status != "running":
            raise self._no_scheduler_left()
        try:
            info: Any = self._client.scheduler_info(n_workers=_MORE_THAN_ENOUGH)
        except Exception as error:
            raise self._no_scheduler_left() from error
        return dict(info["workers"])

    def _no_scheduler_left(self) -> MachineError:
        return MachineError(
            "the scheduler of the cluster is gone; what came back before is kept",
            where=self._address,
            next_step="start it again, then the same with --resume last",
        )

    def _gone(self, address: str) -> None:
        worker = self._workers.pop(address)
        self._note(f"{worker.name} is gone; others take over its work")
        tickets = [ticket for ticket, (where, _) in self._given.items() if where == address]
        self._forget(tickets)
        cause = f"{worker.name} went away while it worked"
        for ticket in tickets:
            self._lost.append(Done(ticket, worker.name, cause=cause, lost=True))

    def _set_aside(self, worker: _Worker, cause: str, *, busy: bool = False) -> None:
        if worker.unfit != cause:
            self._note(f"{worker.name} is {'busy' if busy else 'not asked'}: {cause}")
        worker.hand, worker.admission, worker.unfit = None, None, cause
        worker.ask_again_at = time.monotonic() + SECONDS_WHILE_BUSY if busy else None

    def _check_patience(self) -> None:
        """
        Raises:
            WorkerError: no worker that is there can do this, or none has come for long.
        """
        workers = self._workers.values()
        if any(self._may_work(worker) for worker in workers):
            self._waits_no_more()
            return
        if workers and not self._worked:  # else those that could have gone, and may come back
            raise WorkerError(
                "no machine of the cluster can do this",
                where=self._address,
                found="; ".join(_by_cause(self.problems())),
                next_step=f"localprompt cluster check {self._address}",
            )
        now = time.monotonic()
        if self._without is None:
            self._without = now
            has = "none that can do this" if workers else "none now"
            self._note(f"waiting for a machine: the cluster has {has}")
            self._knock = self._knocked()
        patience = SECONDS_FOR_ANOTHER if self._worked else SECONDS_FOR_FIRST
        if now - self._without > patience:
            raise WorkerError(
                f"the cluster had no machine for {patience:.0f} s",
                where=self._address,
                next_step=f"localprompt cluster worker {self._address}, on each machine",
            )

    def _knocked(self) -> Future[bool]:
        """A task for whoever comes first: a cluster that grows with its work starts one for it."""
        self._ticket += 1
        key = f"localprompt-{self._run}-{self._ticket}"
        return self._client.submit(bool, key=key, resources={RESOURCE: 1}, pure=False)

    def _waits_no_more(self) -> None:
        self._without, self._knock = None, None

    def _may_work(self, worker: _Worker) -> bool:
        """Whether it works, or may yet do so without anybody's help."""
        busy = worker.ask_again_at is not None and self._waits_for_busy
        return worker.unfit is None or busy

    # ---- what is given and comes back

    def _forget(self, tickets: Iterable[int]) -> None:
        for ticket in tickets:
            _, future = self._given.pop(ticket)
            with suppress(Exception):
                future.cancel()

    def _submit(self, address: str, line: bytes | None) -> int:
        self._ticket += 1
        ticket = self._ticket
        future = self._client.submit(
            room.answer,
            self._opening,
            line,
            key=f"localprompt-{self._run}-{ticket}",
            workers=[address],
            allow_other_workers=False,
            resources={RESOURCE: 1},
            pure=False,
        )
        self._given[ticket] = (address, future)
        future.add_done_callback(lambda _: self._came.put(ticket))
        return ticket

    def _arrived(self, ticket: int, address: str, future: Future[bytes]) -> Done | None:
        worker = self._workers.get(address)
        name = worker.name if worker else address
        reply, cause = self._reply(address, future)
        if worker is None:
            return Done(ticket, name, cause=f"{name} is gone", lost=True)
        opening = worker.admission == ticket
        if reply is not None and reply.status in {"unfit", "busy"}:
            self._set_aside(worker, reply.cause, busy=reply.status == "busy")
        if opening:
            worker.admission = None
            if reply is None:
                self._set_aside(worker, cause)
            elif reply.status == "ready" and reply.machine is not None:
                worker.hand = Hand(worker.name, reply.machine)
                worker.unfit, worker.ask_again_at = None, None
                self._waits_no_more()
            return None
        if reply is None:
            return Done(ticket, name, cause=cause, lost=True)
        if reply.status == "worked":
            self._worked = True
            return Done(ticket, name, reply.given)
        return Done(ticket, name, cause=reply.cause, lost=reply.status != "failed")

    def _reply(self, address: str, future: Future[bytes]) -> tuple[room.Reply | None, str]:
        """What came, or why nothing did.

        Raises:
            MachineError: the scheduler is gone.
        """
        try:
            for seconds in _SECONDS_TO_FETCH:
                with suppress(TimeoutError):
                    found = future.result(timeout=seconds)
                    return msgspec.json.decode(found, type=room.Reply), ""
                # What a worker has made lies with it, and Dask would wait for it to come back.
                if address not in self._seen():
                    return None, "it went away with what it had made"
            return None, "what it had made could not be fetched"
        except MachineError:
            raise
        except Exception as error:  # noqa: BLE001  Dask raises what the worker raised, too
            return None, f"{type(error).__name__}: {error}"[:300]
        finally:
            with suppress(Exception):
                future.release()


def _by_cause(problems: Iterable[tuple[str, str]]) -> Iterator[str]:
    """``one, two and 14 more: no such model``."""
    names: dict[str, list[str]] = {}
    for name, cause in problems:
        names.setdefault(cause, []).append(name)
    for cause, those in names.items():
        more = len(those) - _MOST_NAMED
        yield f"{', '.join(those[:_MOST_NAMED])}{f' and {more} more' if more > 0 else ''}: {cause}"


def _life_of(info: dict[str, Any]) -> str:
    """A worker's name and the folder that it made when it started."""
    return f"{info.get('name')} {info.get('local_directory')}"


def _cpu_of(hand: Hand | None) -> str:
    return (hand and hand.machine.cpu) or "an unknown one"
