"""What can go wrong with a cluster, done many times over: nothing is lost, nothing counted twice.

    python -m tests.cluster.campaign --repetitions 20 -o FILE     in three network namespaces (root)
    python -m tests.cluster.campaign --loopback ...               on loopback, without the cut link

Each repetition is an evaluation of 300 cases on two workers with a scripted engine, while one
thing happens; where that ends it, ``--resume`` goes on. Its results have to be those of an unbroken
run in one process, one for each case. The figures are counts; nothing here is timed. FILE gets a
line of JSON for each, as soon as it is known, and what stands there already is not done again.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from localprompt.errors import MachineError
from localprompt.evaluate import runner
from localprompt.evaluate.runner import EvalProgress
from localprompt.records.evaluation import EvalResult
from tests.cluster.harness import LOOPBACK, ROOT, ClusterLab, Hosts, child_of, rows, until

CASES = 300
NAMES = ("lp-head", "lp-one", "lp-two")
"""Namespaces: the scheduler and the client in the first, a worker in each of the others."""
_BRIDGE = "lpbr"
_CUT_SECONDS = 10.0
_MOMENTS = (40, 90, 140, 190)
"""After so many results something happens, in turns."""


class Campaign:
    """A cluster of two workers, mended before each repetition."""

    def __init__(self, lab: ClusterLab) -> None:
        self.lab = lab
        self.scheduler = lab.scheduler()
        self.workers = [lab.worker("one", host=0), lab.worker("two", host=1)]
        self.unbroken = lab.rows_of(lab.here(lab.plan()))
        self._number = 0

    def mended(self) -> None:
        """Two workers and a scheduler, whatever happened before."""
        if self.scheduler.poll() is not None:
            self.scheduler = self.lab.scheduler(int(self.lab.address.rpartition(":")[2]))
        for index, worker in enumerate(self.workers):
            if worker.poll() is not None:
                self._number += 1
                self.workers[index] = self.lab.worker(f"again-{self._number}", host=index)

    def outcome(self, what: str, at: int) -> Outcome:
        """What becomes of an evaluation during which this happens."""
        self.mended()
        result = self.client_killed(at) if what == CLIENT else self.once(EVENTS[what], at)
        found = self.lab.rows_of(result)
        places = [row[:3] for row in found]
        equal, once = found == self.unbroken, len(set(places))
        return Outcome(what, equal, CASES - once, len(places) - once)

    def once(self, happens: Callable[[Campaign], object], at: int) -> EvalResult:
        """One evaluation during which it happens."""
        planned = self.lab.plan()
        happened = threading.Event()

        def on_progress(progress: EvalProgress) -> None:
            if progress.done >= at and not happened.is_set():
                happened.set()
                happens(self)

        try:
            with self.lab.hands() as hands:
                return self.lab.carry_out(planned, hands, on_progress=on_progress)
        except MachineError:
            self.mended()
            with self.lab.hands() as hands:
                return self.lab.carry_out(self.lab.resumed(planned.evaluation.id), hands)

    def client_killed(self, at: int) -> EvalResult:
        """The client is a process of its own, and another one goes on."""
        how = "insecure" if self.lab.hosts.insecure else "loopback"
        command = ("-m", "tests.cluster.client", str(self.lab.folder), self.lab.address, how)
        client, evaluation = self.lab.start(*command, until="^[0-9A-Z]{26}$")
        until(lambda: len(self.lab.store.done(evaluation, 0)) >= at or client.poll() is not None)
        self.lab.end(client, signal.SIGKILL)
        with self.lab.hands() as hands:
            return self.lab.carry_out(self.lab.resumed(evaluation), hands)


def kill_worker(campaign: Campaign) -> None:
    campaign.workers[0].kill()
    campaign.workers[0].wait()


def kill_child(campaign: Campaign) -> None:
    if child := child_of(campaign.workers[0]):
        os.kill(child, signal.SIGKILL)


def kill_scheduler(campaign: Campaign) -> None:
    campaign.lab.end(campaign.scheduler, signal.SIGKILL)


def leave(campaign: Campaign) -> None:
    campaign.workers[1].send_signal(signal.SIGTERM)


def come_late(campaign: Campaign) -> None:
    """A third worker, which stays for this repetition and is killed by the next one's mending."""
    campaign._number += 1
    late = campaign.lab.worker(f"late-{campaign._number}", host=1)
    old, campaign.workers[1] = campaign.workers[1], late
    old.send_signal(signal.SIGTERM)


def cut_link(campaign: Campaign) -> None:
    """The first worker's network is gone for ten seconds."""
    _ip("-n", NAMES[1], "link", "set", "eth0", "down")

    def mend() -> None:
        time.sleep(_CUT_SECONDS)
        _ip("-n", NAMES[1], "link", "set", "eth0", "up")

    threading.Thread(target=mend, daemon=True).start()


CUT = "a link is cut for 10 s"
EVENTS: dict[str, Callable[[Campaign], object]] = {
    "a worker is killed": kill_worker,
    "a worker's child is killed": kill_child,
    "the scheduler is killed": kill_scheduler,
    "a worker leaves": leave,
    "a worker comes late, another leaves": come_late,
    CUT: cut_link,
}
CLIENT = "the client is killed"


class Outcome(msgspec.Struct, frozen=True):
    """What became of one evaluation."""

    what: str
    """What happened meanwhile."""
    equal: bool
    """Whether its results are those of an unbroken run."""
    lost: int
    twice: int
    """Results that were counted twice."""


class Log:
    """Outcomes, in a file where one is named."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        there = path is not None and path.exists()
        lines = path.read_bytes().splitlines() if there and path else []
        self.outcomes = [msgspec.json.decode(line, type=Outcome) for line in lines]

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        print(outcome, file=sys.stderr, flush=True)
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(outcome) + b"\n")

    def count(self, what: str) -> int:
        return sum(one.what == what for one in self.outcomes)


def run(repetitions: int, hosts: Hosts, log: Log) -> None:
    """So many of each kind, those in the log included; every kind once before any again."""
    runner._SECONDS_BETWEEN_SAVES = 0.05
    kinds = [*EVENTS, CLIENT]
    if not hosts.insecure:
        kinds.remove(CUT)
    with tempfile.TemporaryDirectory() as folder, ClusterLab(Path(folder), hosts) as lab:
        lab.write("cases.csv", rows(CASES, " slow 1"))
        campaign = Campaign(lab)
        for repetition in range(repetitions):
            for what in kinds:
                if log.count(what) <= repetition:
                    log.add(campaign.outcome(what, _MOMENTS[repetition % len(_MOMENTS)]))


def table(outcomes: Sequence[Outcome]) -> str:
    """What came out, as Markdown."""
    lines = ["| what happens | runs | equal to an unbroken run | lost | counted twice |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for what in (*EVENTS, CLIENT):
        if found := [one for one in outcomes if one.what == what]:
            equal = sum(one.equal for one in found)
            lost, twice = sum(one.lost for one in found), sum(one.twice for one in found)
            lines.append(f"| {what} | {len(found)} | {equal} | {lost} | {twice} |")
    return "\n".join(lines) + "\n"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def make_hosts() -> None:
    """Three namespaces on a bridge in the first."""
    remove_hosts()
    for name in NAMES:
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")
    _ip("-n", NAMES[0], "link", "add", _BRIDGE, "type", "bridge")
    _ip("-n", NAMES[0], "addr", "add", "10.87.0.1/24", "dev", _BRIDGE)
    _ip("-n", NAMES[0], "link", "set", _BRIDGE, "up")
    for number, name in enumerate(NAMES[1:], start=2):
        port = f"lpp{number}"
        peer = ("peer", "name", "eth0", "netns", name)
        _ip("-n", NAMES[0], "link", "add", port, "type", "veth", *peer)
        _ip("-n", NAMES[0], "link", "set", port, "master", _BRIDGE)
        _ip("-n", NAMES[0], "link", "set", port, "up")
        _ip("-n", name, "addr", "add", f"10.87.0.{number}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")


def remove_hosts() -> None:
    for name in NAMES:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def in_namespaces() -> Hosts:
    """This process is in the first one already."""
    workers = tuple(("ip", "netns", "exec", name) for name in NAMES[1:])
    listen = ("--insecure-network", "--interface")
    return Hosts((), workers, (*listen, _BRIDGE), (*listen, "eth0"), insecure=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--loopback", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path)
    chosen = parser.parse_args()
    if chosen.loopback or chosen.inside:
        log = Log(chosen.output)
        run(chosen.repetitions, in_namespaces() if chosen.inside else LOOPBACK, log)
        print(table(log.outcomes))
        return
    make_hosts()
    try:
        command = [*("ip", "netns", "exec", NAMES[0]), sys.executable, "-m", __spec__.name]
        arguments = ["--inside", "--repetitions", str(chosen.repetitions)]
        arguments += ["-o", str(chosen.output.resolve())] if chosen.output else []
        subprocess.run([*command, *arguments], check=True, cwd=ROOT)
    finally:
        remove_hosts()


if __name__ == "__main__":
    main()
