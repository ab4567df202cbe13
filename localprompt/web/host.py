"""The engine of the page: one child with one open model, and the queue before it.

Jobs are answered one after the other, never two at once: each would make the other's times wrong.
A thread feeds the child and hands on what it says; the child ends after some idle minutes, or when
it dies, and the next job starts another. Whoever follows a job reads its events from the first;
when the last reader of a job goes away before its end (a closed tab), the job is stopped.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import queue
import signal
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Literal, NamedTuple

import msgspec

from localprompt.errors import LocalPromptError
from localprompt.processes import Child, worker_command
from localprompt.records import json
from localprompt.records.cell import Cell
from localprompt.records.ids import new_run_id
from localprompt.records.received import ReceivedPrompt
from localprompt.records.run import RunRecord
from localprompt.store.under_way import announced
from localprompt.web.worker import (
    Answer,
    Answered,
    Began,
    Explain,
    Explained,
    How,
    NotAnswered,
    Opening,
    Piece,
    Reply,
)

IDLE_SECONDS = 300.0
"""After which the model is closed and its memory given back."""
MOST_KEPT = 200
"""Jobs that are remembered; their runs are in the history."""

State = Literal["waiting", "opening", "answering", "done", "failed"]
WORKER = worker_command("localprompt.web.worker")


class Event(msgspec.Struct, frozen=True):
    """What a reader of a job is told."""

    kind: Literal["state", "piece", "done", "failed"]
    text: str
    how: How = ""
    """Of a piece: how it was made."""
    seconds: float | None = None
    """Of a piece: when the engine had it."""


class Question(NamedTuple):
    """What a model receives of a cell, asked between two answers."""

    cell: Cell
    answer: Future[ReceivedPrompt]


class Job:
    """One cell on its way through the engine. Its attributes are written by the host's thread."""

    def __init__(self, cell: Cell, typed: str) -> None:
        self.id = new_run_id()
        self.cell = cell
        self.typed = typed
        """The same on the command line."""
        self.state: State = "waiting"
        self.record: RunRecord | None = None
        self.remark = ""
        """What went wrong, or why the run is not in the history."""
        self.recorded = False
        """Whether its run is in the history."""
        self.stopped = False
        self.events: list[Event] = []
        self.readers = 0
        self._told: set[Callable[[], object]] = set()
        self._lock = threading.Lock()

    @property
    def ended(self) -> bool:
        return self.state in {"done", "failed"}

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if event.kind == "piece")

    def answer(self) -> list[tuple[How, str]]:
        """Its text in stretches that were made alike."""
        pieces = [event for event in self.events if event.kind == "piece"]
        grouped = itertools.groupby(pieces, key=lambda event: event.how)
        return [(how, "".join(event.text for event in group)) for how, group in grouped]

    def tell(self, event: Event) -> None:
        with self._lock:
            self.events.append(event)
            told = list(self._told)
        for wake in told:
            wake()

    async def follow(self) -> AsyncIterator[Event]:
        """Its events from the first to the last, as they come."""
        loop, more, at = asyncio.get_running_loop(), asyncio.Event(), 0

        def wake() -> None:
            with suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(more.set)

        with self._lock:
            self._told.add(wake)
        self.readers += 1
        try:
            while True:
                more.clear()
                for event in self.events[at:]:
                    yield event
                    at += 1
                    if event.kind in {"done", "failed"}:
                        return
                await more.wait()
        finally:
            self.readers -= 1
            with self._lock:
                self._told.discard(wake)


class Host:
    """The queue and the thread behind it; close it to end the child.

    Args:
        command: what to start; tests have a scripted one.
    """

    def __init__(
        self, command: Sequence[str] = WORKER, *, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._command = command
        self._idle_seconds = idle_seconds
        self._jobs: dict[str, Job] = {}
        self._queue: queue.SimpleQueue[Job | Question | None] = queue.SimpleQueue()
        self._child: Child[Reply] | None = None
        self._now: Job | None = None
        self._lock = threading.Lock()
        # The child lives no longer than the thread that starts it.
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, cell: Cell, typed: str) -> Job:
        job = Job(cell, typed)
        with self._lock:
            self._jobs[job.id] = job
            for old in [key for key, one in self._jobs.items() if one.ended][:-MOST_KEPT]:
                del self._jobs[old]
        self._queue.put(job)
        return job

    def explain(self, cell: Cell) -> Future[ReceivedPrompt]:
        """What its model receives; known when what waits before it is done."""
        question = Question(cell, Future())
        self._queue.put(question)
        return question.answer

    def job(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def waiting(self) -> list[Job]:
        """What is being answered and what waits for it."""
        with self._lock:
            return [job for job in self._jobs.values() if not job.ended]

    @property
    def open_model(self) -> str | None:
        """The name of the model that the child has open, if there is a child."""
        job = self._now or next((one for one in reversed(list(self._jobs.values()))), None)
        return None if self._child is None or job is None else job.cell.model.name

    def stop(self, job: Job) -> None:
        """End its answer; one that has not begun never will."""
        with self._lock:
            job.stopped = True
            if self._now is job and self._child is not None and self._child.running:
                os.kill(self._child.pid, signal.SIGINT)

    def close(self) -> None:
        """End the child and the thread, whatever they are doing."""
        for job in self.waiting():
            self.stop(job)
        self._queue.put(None)
        self._thread.join(timeout=10)

    def _work(self) -> None:
        while True:
            try:
                job = self._queue.get(timeout=None if self._child is None else self._idle_seconds)
            except queue.Empty:
                self._end_child()
                continue
            if job is None:
                self._end_child()
                return
            if isinstance(job, Question):
                self._explain(job)
                continue
            with self._lock:
                self._now = job
            try:
                self._answer(job)
            except LocalPromptError as error:
                self._end_child(dead=True)
                # A child that was stopped before it could listen has died of it.
                _fail(job, None if job.stopped else error)
            finally:
                with self._lock:
                    self._now = None

    def _answer(self, job: Job) -> None:
        child = self._living_child()
        if self._was_stopped(job):
            _fail(job, None)
            return
        title = job.cell.template.name or job.cell.model.name
        with announced("page", title):  # a bench beside it has to know
            self._follow(job, child)

    def _follow(self, job: Job, child: Child[Reply]) -> None:
        child.send(Answer(job.cell))
        while True:
            match reply := child.receive():
                case Began():
                    if self._was_stopped(job):  # before the child could be told
                        self.stop(job)
                case Opening():
                    job.state = "opening"
                    job.tell(Event("state", "opening"))
                case Piece(text, how, seconds):
                    job.state = "answering"
                    job.tell(Event("piece", text, how, seconds))
                case Answered():
                    _finish(job, reply)
                    return
                case NotAnswered(error):
                    _fail(job, None if job.stopped else error.error())
                    return
                case Explained():
                    raise child.out_of_turn(reply)

    def _was_stopped(self, job: Job) -> bool:
        with self._lock:
            return job.stopped

    def _explain(self, question: Question) -> None:
        if not question.answer.set_running_or_notify_cancel():
            return  # whoever asked has left
        try:
            child = self._living_child()
            reply = child.ask(Explain(question.cell))
            if isinstance(reply, NotAnswered):
                raise reply.error.error()
            if not isinstance(reply, Explained):
                raise child.out_of_turn(reply)
            question.answer.set_result(reply.received)
        except LocalPromptError as error:
            self._end_child(dead=True)
            question.answer.set_exception(error)

    def _living_child(self) -> Child[Reply]:
        if self._child is not None and self._child.running:
            return self._child
        self._end_child(dead=True)
        child: Child[Reply] = Child(self._command, Reply, who="the engine's process")
        with self._lock:
            self._child = child
        return child

    def _end_child(self, *, dead: bool = False) -> None:
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.kill() if dead else child.close()


def _finish(job: Job, reply: Answered) -> None:
    job.record = json.decode(reply.record)
    job.remark = "; ".join(filter(None, (reply.failure, reply.not_recorded)))
    job.recorded = reply.not_recorded is None
    job.state = "done"
    job.tell(Event("done", job.record.id if job.recorded else ""))


def _fail(job: Job, error: LocalPromptError | None) -> None:
    """
    Args:
        error: None: it was stopped before it began.
    """
    parts = ["stopped"] if error is None else [error.message, error.found, error.next_step]
    job.remark = ". ".join(part for part in parts if part)
    job.state = "failed"
    job.tell(Event("failed", job.remark))
