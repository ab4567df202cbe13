"""One place to work: a child process, opened for what is asked and kept open until that changes.

A worker of a cluster has one room, local workers have one each. llama.cpp lives in the child, so
that what takes it down is a cause that can be told, and the worker stays. Whoever asks says each
time what the work is opened for: a room that is new, or whose child has died, begins again. A child
that says that it is in the middle of something, as a bench is, is left alone by others until it is
through, or until whoever began it has not asked for it in :data:`SECONDS_HELD`.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

import localprompt
from localprompt import processes
from localprompt.errors import LocalPromptError, WorkerError
from localprompt.models.cards import read_catalog
from localprompt.models.checksum import sha256_of
from localprompt.models.resolve import resolve, resolve_card
from localprompt.records import json
from localprompt.records.run import Machine
from localprompt.records.work import NOTHING, Open, Opened, Opening, Weights, Work, Worked

SECONDS_HELD = 30.0
"""Longer than a link is cut for; shorter than people wait for a bench that was given up."""


class Reply(msgspec.Struct, frozen=True):
    """What a room says to a line."""

    status: Literal["ready", "worked", "failed", "unfit", "busy"]
    """``unfit``: no work of this kind can be done here; ``failed``: this line could not be done;
    ``busy``: it can be done later."""
    machine: Machine | None = None
    given: msgspec.Raw = NOTHING
    cause: str = ""


class Room:
    """At most one open child. Safe to be used by several threads, one after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: bytes | None = None
        self._child: processes.Child[Opened | Worked] | None = None
        self._machine: Machine | None = None
        self._unfinished: str | None = None
        self._held_until = 0.0

    def answer(self, opening: bytes, line: bytes | None) -> Reply:
        """Do a line of work; None only makes ready for it.

        Args:
            opening: an :class:`~localprompt.records.work.Opening` as JSON.
        """
        with self._lock:
            key = hashlib.sha256(opening).digest()
            if self._is_held(key):
                return Reply("busy", cause=f"in the middle of {self._unfinished} for somebody else")
            try:
                self._make_ready(key, opening)
            except LocalPromptError as error:
                self._clear()
                return Reply("unfit", cause=_told(error))
            if line is None:
                return Reply("ready", self._machine)
            try:
                return Reply("worked", self._machine, self._work(line))
            except LocalPromptError as error:
                self._clear()
                return Reply("failed", self._machine, cause=_told(error))

    def close(self) -> None:
        """End the child, at once. From any thread, also while a line is being worked on."""
        if (child := self._child) is not None and child.running:
            # Whoever waits for it learns that it is dead, and lets go of the lock.
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        with self._lock:
            self._clear()

    def _is_held(self, key: bytes) -> bool:
        """Whether the child is in the middle of what was not asked for with this key."""
        if self._unfinished is None or key == self._key:
            return False
        alive = self._child is not None and self._child.running
        return alive and time.monotonic() < self._held_until

    def _make_ready(self, key: bytes, opening: bytes) -> None:
        if key == self._key and self._child is not None and self._child.running:
            return
        self._clear()
        wanted = msgspec.json.decode(opening, type=Opening)
        if wanted.version != localprompt.__version__:
            raise WorkerError(
                "another version of localprompt",
                expected=wanted.version,
                found=localprompt.__version__,
            )
        paths = {one.name: str(weights_here(one)) for one in wanted.weights}
        command = processes.worker_command(wanted.module)
        self._child = processes.Child(command, Opened | Worked, who="the worker's process")
        reply = self._child.ask(Open(paths, wanted.given))
        if not isinstance(reply, Opened):
            raise self._child.out_of_turn(reply)
        self._key, self._machine = key, reply.machine

    def _work(self, line: bytes) -> msgspec.Raw:
        assert self._child is not None  # noqa: S101  it was made ready
        reply = self._child.ask(Work(msgspec.Raw(line)))
        if not isinstance(reply, Worked):
            raise self._child.out_of_turn(reply)
        self._unfinished, self._held_until = reply.unfinished, time.monotonic() + SECONDS_HELD
        return reply.given

    def _clear(self) -> None:
        child, self._child, self._key, self._unfinished = self._child, None, None, None
        if child is not None:
            child.kill()


def _told(error: LocalPromptError) -> str:
    """What another machine is told: what is wrong, and last the file, which is on this one."""
    if error.where is None:
        return str(error)
    return f"{str(error).removeprefix(f'{error.where}: ')} ({error.where})"


def weights_here(wanted: Weights) -> Path:
    """Where the same weights lie on this machine, whatever they are called here.

    Raises:
        LocalPromptError: they are not here, or are others.
    """
    catalog = read_catalog()
    same = (card for card in catalog.cards.values() if card.sha256 == wanted.sha256)
    card = catalog.find(wanted.name)
    if card is None or card.sha256 != wanted.sha256:
        card = next(same, card)
    path = (resolve(wanted.name) if card is None else resolve_card(card)).path
    found = sha256_of(path)
    if wanted.sha256 is not None and found != wanted.sha256:
        raise WorkerError(
            f"the weights of {wanted.name} are not the ones that are asked for",
            where=str(path),
            expected=f"sha256 {wanted.sha256[:12]}…",
            found=f"sha256 {found[:12]}…",
        )
    return path


_ROOM = Room()
"""That of this process, where it is a worker of a cluster."""


def answer(opening: bytes, line: bytes | None) -> bytes:
    """What the scheduler calls: a line of work in the room of the worker's process."""
    return json.encode(_ROOM.answer(opening, line))


def clear() -> None:
    """End the child of this process's room."""
    _ROOM.close()
