"""Hands on this machine: so many child processes, each in a room of its own."""

from __future__ import annotations

import queue
import threading
from typing import Self

import msgspec

from localprompt.cluster.room import Reply, Room
from localprompt.errors import WorkerError
from localprompt.records import json
from localprompt.records.work import Done, Hand, Opening

_Given = tuple[int, bytes | None]


class LocalHands:
    """Implements :class:`localprompt.records.work.Hands`; close it, or use it as a context manager.

    Args:
        count: how many children.
    """

    def __init__(self, count: int) -> None:
        self._replies: queue.SimpleQueue[tuple[int, str, Reply]] = queue.SimpleQueue()
        self._opening = b""
        self._ticket = 0
        self._current: set[int] = set()
        self._hands: dict[str, Hand] = {}
        self._unfit: dict[str, str] = {}
        self._inboxes: dict[str, queue.SimpleQueue[_Given | None]] = {}
        self._rooms = [Room() for _ in range(count)]
        self._threads = []
        for number, room in enumerate(self._rooms, start=1):
            name = f"worker {number}"
            self._inboxes[name] = queue.SimpleQueue()
            # A child dies with the thread that started it; these live until the end.
            thread = threading.Thread(target=self._serve, args=(name, room), daemon=True)
            self._threads.append(thread)
            thread.start()

    def open(self, opening: Opening) -> None:
        self.drop()
        self._opening = json.encode(opening)
        self._hands.clear()
        self._unfit.clear()
        for inbox in self._inboxes.values():
            inbox.put((0, None))

    def ready(self) -> tuple[Hand, ...]:
        return tuple(self._hands.values())

    def opening(self) -> bool:
        return len(self._hands) + len(self._unfit) < len(self._inboxes)

    def give(self, hand: str, line: msgspec.Raw) -> int:
        self._ticket += 1
        self._current.add(self._ticket)
        self._inboxes[hand].put((self._ticket, bytes(line)))
        return self._ticket

    def next(self, seconds: float) -> Done | None:
        if len(self._unfit) == len(self._inboxes):
            raise WorkerError(f"no worker can do this: {next(iter(self._unfit.values()))}")
        try:
            ticket, name, reply = self._replies.get(timeout=seconds)
        except queue.Empty:
            return None
        if ticket == 0:
            if reply.machine is not None and reply.status == "ready":
                self._hands[name] = Hand(name, reply.machine)
            else:
                self._unfit[name] = reply.cause
            return None
        if ticket not in self._current:
            return None
        self._current.remove(ticket)
        if reply.status == "worked":
            return Done(ticket, name, reply.given)
        if reply.status == "unfit":
            self._hands.pop(name, None)
            self._unfit[name] = reply.cause
        return Done(ticket, name, cause=reply.cause, lost=reply.status == "unfit")

    def drop(self) -> None:
        self._current.clear()

    def close(self) -> None:
        """End the children, whatever they are doing; nothing that waits for them is begun."""
        self.drop()
        for inbox, room in zip(self._inboxes.values(), self._rooms, strict=True):
            inbox.put(None)
            room.close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self, name: str, room: Room) -> None:
        inbox = self._inboxes[name]
        while (given := inbox.get()) is not None:
            ticket, line = given
            if ticket and ticket not in self._current:
                continue
            self._replies.put((ticket, name, room.answer(self._opening, line)))
        room.close()
