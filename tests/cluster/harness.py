"""A cluster on loopback: a scheduler and workers as processes, with a scripted engine in theirs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from localprompt.cluster.hands import ClusterHands, connect
from localprompt.cluster.network import Network
from localprompt.evaluate.models import Models
from localprompt.evaluate.opening import begin, resume
from localprompt.evaluate.planning import Planned
from localprompt.evaluate.runner import EvalProgress, run_evaluation
from localprompt.evaluate.spread import Spread
from localprompt.evaluate.summarize import load_result
from localprompt.models.checksum import sha256_of
from localprompt.models.store import add_model
from localprompt.records.evaluation import EvalRequest, EvalResult
from localprompt.records.model import ModelRecord
from localprompt.records.work import Hands
from localprompt.store.history import History
from tests.cluster.characters import open_characters
from tests.cluster.scripted_worker import MODULE
from tests.models.tiny_gguf import tiny_gguf
from tests.sample_runs import make_run

ROOT = Path(__file__).parents[2]
SUITE = """
prompts: ["Is this good or bad? {{ text }}"]
providers: [small]
tests: file://cases.csv
"""
_SECONDS_TO_START = 60.0


def rows(count: int, more: str = "") -> str:
    """Cases, two of three of which an engine that looks for "fine" gets right."""
    lines = (f"a {'fine' if n % 3 else 'grey'} day {n}{more},good" for n in range(count))
    return "\n".join(["text,__expected", *lines]) + "\n"


def make_home(folder: Path) -> Path:
    """A home with a model called small in its store; ``LOCALPROMPT_HOME`` has to be this one."""
    weights = folder / "home" / "models" / "small.gguf"
    weights.parent.mkdir(parents=True, exist_ok=True)
    if not weights.exists():
        weights.write_bytes(tiny_gguf())
        add_model(weights, name="small")
    return folder / "home"


class Hosts(NamedTuple):
    """Where processes run, and how they are told to reach each other."""

    scheduler: tuple[str, ...] = ()
    """What stands before a command there."""
    workers: tuple[tuple[str, ...], ...] = ((),)
    scheduler_options: tuple[str, ...] = ()
    worker_options: tuple[str, ...] = ()
    insecure: bool = False


LOOPBACK = Hosts()


class ClusterLab:
    """A folder with a suite and a history, and processes that end with it."""

    def __init__(self, folder: Path, hosts: Hosts = LOOPBACK) -> None:
        self.folder = folder
        self.hosts = hosts
        os.environ["LOCALPROMPT_HOME"] = str(folder / "home")
        self.home = make_home(folder)
        self.address = ""
        self.notes: list[str] = []
        self._processes: list[subprocess.Popen[str]] = []
        self.write("tones.yaml", SUITE)
        self.store = History(folder / "history.db")

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    # ---- processes

    def start(
        self,
        *arguments: str,
        until: str,
        env: dict[str, str] | None = None,
        before: tuple[str, ...] = (),
    ) -> tuple[subprocess.Popen[str], str]:
        """A process of this program, and the line of its stderr in which ``until`` is found."""
        process = subprocess.Popen(
            [*before, sys.executable, *arguments],
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        )
        self._processes.append(process)
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if re.search(until, line):
                return process, line.strip()
        raise AssertionError(f"{arguments}: {''.join(said)}")

    def scheduler(self, port: int = 0) -> subprocess.Popen[str]:
        command = ("-m", "localprompt", "cluster", "scheduler", "--port", str(port))
        process, self.address = self.start(
            *command, *self.hosts.scheduler_options, until="^tcp://", before=self.hosts.scheduler
        )
        return process

    def worker(
        self, name: str, env: dict[str, str] | None = None, host: int = 0
    ) -> subprocess.Popen[str]:
        command = ("-m", "localprompt", "cluster", "worker", self.address, "--name", name)
        before = self.hosts.workers[host % len(self.hosts.workers)]
        options = self.hosts.worker_options
        return self.start(*command, *options, until="works for", env=env, before=before)[0]

    def end(self, process: subprocess.Popen[str], number: int = signal.SIGTERM) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(number)
        process.wait(20)

    # ---- evaluations

    def find_model(self, name: str) -> ModelRecord:
        path = self.home / "models" / f"{name}.gguf"
        record = make_run(model=name).model
        return msgspec.structs.replace(record, path=str(path), sha256=sha256_of(path))

    def plan(self, **request: object) -> Planned:
        wanted = EvalRequest(suite=str(self.folder / "tones.yaml"), cached=False)
        wanted = msgspec.structs.replace(wanted, **request)
        return begin(wanted, self.store, find_model=self.find_model)

    def resumed(self, reference: str = "last") -> Planned:
        return resume(reference, self.store)

    def carry_out(
        self,
        planned: Planned,
        hands: Hands,
        on_progress: Callable[[EvalProgress], None] = lambda _: None,
    ) -> EvalResult:
        with Models(open_characters) as models, Spread(hands, MODULE, open_characters) as spread:
            run_evaluation(
                planned,
                self.store,
                models,
                executor=spread,
                on_progress=on_progress,
                find_model=self.find_model,
            )
        return load_result(planned.evaluation, self.store)

    def here(self, planned: Planned) -> EvalResult:
        """The same in this process, unbroken."""
        with Models(open_characters) as models:
            run_evaluation(planned, self.store, models, find_model=self.find_model)
        return load_result(planned.evaluation, self.store)

    def hands(self, *, same_cpu_only: bool = False) -> ClusterHands:
        client = connect(self.address, Network(insecure=self.hosts.insecure))
        return ClusterHands(client, same_cpu_only=same_cpu_only, note=self.notes.append)

    def rows_of(self, result: EvalResult) -> list[tuple[object, ...]]:
        """Its results, without what differs from one run to the next."""
        return [
            (r.target, r.case_id, r.repetition, r.answer, r.score, r.error, r.token_ids_sha256)
            for r in self.store.results(result.evaluation.id)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()
        self.store.close()


def figures(result: EvalResult) -> bytes:
    """The table of an evaluation, without when it was made and what it took."""
    targets = [msgspec.structs.replace(t, ttft_seconds=None, cached=0) for t in result.targets]
    return msgspec.json.encode(targets)


def child_of(process: subprocess.Popen[str]) -> int | None:
    """The process in which the worker's engine is; None: it has none now."""
    path = Path(f"/proc/{process.pid}/task")
    children: Sequence[str] = []
    for thread in path.iterdir() if path.exists() else ():
        with suppress(OSError):
            children = [*children, *(thread / "children").read_text().split()]
    return int(children[0]) if children else None


def until(true: Callable[[], bool], seconds: float = _SECONDS_TO_START) -> None:
    """Wait for something; an AssertionError when it does not come."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.02)
