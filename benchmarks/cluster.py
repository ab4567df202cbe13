"""What spreading an evaluation over workers gains, and what the scheduler costs.

    python -m benchmarks.cluster pairs     two workers of one thread beside one, cores pinned
    python -m benchmarks.cluster overhead  two workers through a scheduler beside two local children
    python -m benchmarks.cluster workers   a child for each core beside one process with all of them
    python -m benchmarks.cluster path      cases a second through one client, with a scripted engine
    python -m benchmarks.cluster tasks     what a portion costs client and scheduler, in CPU time
    python -m benchmarks.cluster memory    the client's memory while 100,000 cases pass through it

Every side runs in turns in one process; medians and n are printed as Markdown. ``pairs``,
``overhead`` and ``workers`` answer generated texts with the starter model; the others say what
stands in a script and need the checkout's tests. Workers and the scheduler are started here on
loopback and end here.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import msgspec

from localprompt.cluster.local import LocalHands
from localprompt.engine.base import GenerationRequest
from localprompt.evaluate.models import Models
from localprompt.evaluate.opening import begin
from localprompt.evaluate.runner import EvalProgress, run_evaluation
from localprompt.evaluate.spread import Spread
from localprompt.evaluate.summarize import load_result
from localprompt.evaluate.worker import Ask, Portion
from localprompt.measure import machine, memory
from localprompt.records import json
from localprompt.records.cell import SamplingChoices
from localprompt.records.evaluation import EvalRequest
from localprompt.records.prompt import Message, PromptTemplate, Segment
from localprompt.records.run import RequestedSettings, Sampling
from localprompt.records.work import Hands
from localprompt.store.history import History
from tests.cluster.characters import open_characters
from tests.cluster.harness import ClusterLab, rows
from tests.cluster.scripted_worker import MODULE

MODEL = "smollm2-135m"
_PIN = ("taskset", "--cpu-list")
_WORDS = ("sea", "bread", "river", "winter", "machine", "seven", "lamp", "ship", "hall", "letter")
_SUITE = """
prompts: ["Write about {{ about }}."]
providers: [%s]
tests: file://texts.csv
"""


def texts(count: int) -> str:
    """Prompts of 20 to 60 words, the same on every machine."""
    draw = random.Random(18)
    lines = (" ".join(draw.choices(_WORDS, k=draw.randint(20, 60))) for _ in range(count))
    return "\n".join(["about", *(f"{n} {line}" for n, line in enumerate(lines))]) + "\n"


class Bench:
    """Evaluations of generated texts by the starter model, one after the other."""

    def __init__(self, lab: ClusterLab, cases: int, tokens: int) -> None:
        self._lab = lab
        self._cases = cases
        self._tokens = tokens
        self.peaks: list[int] = []
        lab.write("texts.yaml", _SUITE % MODEL)
        lab.write("texts.csv", texts(cases))

    def rate(self, hands: Hands) -> float:
        """Cases a second, from the first answer that was stored on: models are open then."""
        started: list[tuple[float, int]] = []

        def on_progress(now: EvalProgress) -> None:
            if not started:
                started.append((time.perf_counter(), now.done))

        self._answer(hands, 1, on_progress)
        (began, done), ended = started[0], time.perf_counter()
        return (self._cases - done) / (ended - began)

    def whole(self, hands: Hands | None, threads: int) -> float:
        """Cases a second, opening included.

        Args:
            hands: None: this process answers.
            threads: of it, or of each of them.
        """
        began = time.perf_counter()
        self._answer(hands, threads)
        return self._cases / (time.perf_counter() - began)

    def _answer(
        self,
        hands: Hands | None,
        threads: int,
        on_progress: Callable[[EvalProgress], None] | None = None,
    ) -> None:
        request = EvalRequest(
            suite=str(self._lab.folder / "texts.yaml"),
            sampling=SamplingChoices(max_tokens=self._tokens),
            settings=RequestedSettings(n_threads=threads),
            given=("n_threads",),
            cached=False,
        )
        store = self._lab.store
        planned = begin(request, store)
        told = on_progress or (lambda _: None)
        with Models() as models:
            if hands is None:
                run_evaluation(planned, store, models, on_progress=told)
            else:
                with Spread(hands) as spread:
                    run_evaluation(planned, store, models, executor=spread, on_progress=told)
        uses = load_result(planned.evaluation, store).uses
        self.peaks = [use.memory.peak_rss_bytes or 0 for use in uses if use.memory]


def pairs(lab: ClusterLab, cases: int, turns: int) -> Iterator[str]:
    """Two workers of one thread against one, each on a core of its own."""
    bench = Bench(lab, cases, tokens=24)
    ratios = []
    yield "| turn | one worker, cases/s | two workers, cases/s | ratio |"
    yield "| ---: | ---: | ---: | ---: |"
    with _cluster(lab, 1) as one, _cluster(lab, 2) as two:
        sides: dict[str, Callable[[], float]] = {
            "one": lambda: _through(lab, one, bench),
            "two": lambda: _through(lab, two, bench),
        }
        for side in sides.values():
            side()  # opens the models
        for turn in range(turns):
            order = list(sides) if turn % 2 else [*reversed(sides)]
            found = {name: sides[name]() for name in order}
            ratios.append(found["two"] / found["one"])
            yield f"| {turn + 1} | {found['one']:.2f} | {found['two']:.2f} | {ratios[-1]:.3f} |"
    yield f"\nMedian {median(ratios):.3f}, n = {turns}, {cases} cases."


def overhead(lab: ClusterLab, cases: int, turns: int) -> Iterator[str]:
    """Two workers through a scheduler against two children of this process."""
    bench = Bench(lab, cases, tokens=24)
    ratios = []
    yield "| turn | local children, cases/s | through a scheduler, cases/s | ratio |"
    yield "| ---: | ---: | ---: | ---: |"
    with _cluster(lab, 2) as address, LocalHands(2) as local:
        sides: dict[str, Callable[[], float]] = {
            "local": lambda: bench.rate(local),
            "cluster": lambda: _through(lab, address, bench),
        }
        for side in sides.values():
            side()
        for turn in range(turns):
            order = list(sides) if turn % 2 else [*reversed(sides)]
            found = {name: sides[name]() for name in order}
            ratios.append(found["cluster"] / found["local"])
            row = f"{found['local']:.2f} | {found['cluster']:.2f} | {ratios[-1]:.3f}"
            yield f"| {turn + 1} | {row} |"
    yield f"\nMedian {median(ratios):.3f}, n = {turns}, {cases} cases."


def workers(lab: ClusterLab, cases: int, turns: int) -> Iterator[str]:
    """As ``eval`` and ``eval --workers`` do it, opening included: cases a second, and the peaks."""
    bench = Bench(lab, cases, tokens=64)
    count = machine.default_threads()
    ratios, peaks = [], {}
    yield f"| turn | one process, {count} threads, cases/s | {count} workers, cases/s | ratio |"
    yield "| ---: | ---: | ---: | ---: |"
    with LocalHands(count) as hands:
        for turn in range(turns):
            order = [None, hands] if turn % 2 else [hands, None]
            found = {}
            for side in order:
                found[side is None] = bench.whole(side, 1 if side else count)
                peaks[side is None] = bench.peaks
            ratios.append(found[False] / found[True])
            yield f"| {turn + 1} | {found[True]:.2f} | {found[False]:.2f} | {ratios[-1]:.3f} |"
    yield f"\nMedian {median(ratios):.3f}, n = {turns}, {cases} cases of 64 tokens."
    shown = [", ".join(f"{peak / 2**20:.0f}" for peak in peaks[alone]) for alone in (True, False)]
    yield f"Peak RSS, MiB: one process {shown[0]}; workers {shown[1]}."


def path(lab: ClusterLab, cases: int, turns: int) -> Iterator[str]:
    """Rendering, the scheduler, two workers that answer at once, scoring and the history."""
    lab.write("cases.csv", rows(cases))
    rates, spent = [], []
    with _cluster(lab, 2) as address:
        for _ in range(turns):
            lab.address = address
            planned = lab.plan()
            started, cpu = time.perf_counter(), time.process_time()
            with lab.hands() as hands:
                lab.carry_out(planned, hands)
            rates.append(cases / (time.perf_counter() - started))
            spent.append(1e3 * (time.process_time() - cpu) / cases)
    shown = ", ".join(f"{rate:.0f}" for rate in rates)
    yield f"{cases} cases, opening included, cases/s: {shown}; median {median(rates):.0f}."
    yield f"CPU of the client, a case: median {median(spent):.2f} ms."


def tasks(lab: ClusterLab, portions: int) -> Iterator[str]:
    """Portions of one request each, so that what is measured is their way and not their work."""
    lab.write("cases.csv", rows(4))
    model = lab.find_model("small")
    request = EvalRequest(suite="")
    with ExitStack() as ends:
        scheduler = lab.scheduler()
        ends.callback(lab.end, scheduler)
        for number in range(2):
            ends.callback(lab.end, lab.worker(f"worker-{number}"))
        hands = ends.enter_context(lab.hands())
        spread = ends.enter_context(Spread(hands, MODULE, open_characters))
        engine = spread.open(model, request).engine
        ids = engine.encode([Message("user", (Segment("a fine day", None),))]).token_ids
        ask = Ask(len(ids) + 8, GenerationRequest(ids, Sampling(max_tokens=8)))
        portion = Portion("generate", PromptTemplate(name="", body=""), None, (ask,))
        line = msgspec.Raw(json.encode(portion))
        while len(hands.ready()) < 2:
            hands.next(0.1)
        names = [hand.name for hand in hands.ready()]
        before = time.perf_counter(), time.process_time(), _cpu_seconds(scheduler.pid)
        given = done = 0
        while done < portions:
            while given < portions and given - done < 16:
                hands.give(names[given % 2], line)
                given += 1
            done += hands.next(1.0) is not None
        after = time.perf_counter(), time.process_time(), _cpu_seconds(scheduler.pid)
        wall, client, scheduling = (b - a for a, b in zip(before, after, strict=True))
    yield f"{portions} portions of one request: {portions / wall:.0f} portions/s"
    yield f"CPU of a portion: client {1e3 * client / portions:.2f} ms, "
    yield f"scheduler {1e3 * scheduling / portions:.2f} ms"


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def client_memory(lab: ClusterLab, cases: int) -> Iterator[str]:
    """Resident memory of this process at tenths of the way."""
    lab.write("cases.csv", rows(cases))
    seen: dict[int, int] = {}

    def on_progress(now: EvalProgress) -> None:
        tenth = 10 * now.done // cases
        if tenth not in seen:
            seen[tenth] = memory.read().rss_bytes or 0

    with _cluster(lab, 2) as address:
        lab.address = address
        planned = lab.plan()
        started = time.perf_counter()
        with lab.hands() as hands:
            lab.carry_out(planned, hands, on_progress=on_progress)
        took = time.perf_counter() - started
    yield f"{cases} cases in {took:.0f} s ({cases / took:.0f} cases/s)."
    yield "\n| done | resident, MiB |\n| ---: | ---: |"
    for tenth, resident in sorted(seen.items()):
        yield f"| {10 * tenth} % | {resident / 2**20:.1f} |"


def _through(lab: ClusterLab, address: str, bench: Bench) -> float:
    lab.address = address
    with lab.hands() as hands:
        return bench.rate(hands)


@contextmanager
def _cluster(lab: ClusterLab, workers: int) -> Iterator[str]:
    """A scheduler and so many workers, each on a core of its own."""
    with ExitStack() as ends:
        ends.callback(lab.end, lab.scheduler())
        cores = sorted(os.sched_getaffinity(0))
        hosts = tuple((*_PIN, str(cores[n % len(cores)])) for n in range(workers))
        lab.hosts = lab.hosts._replace(workers=hosts)
        for number in range(workers):
            ends.callback(lab.end, lab.worker(f"worker-{workers}-{number}", host=number))
        yield lab.address


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("pairs", "overhead", "workers", "path", "tasks", "memory"))
    parser.add_argument("--cases", type=int)
    parser.add_argument("--turns", type=int, default=3)
    chosen = parser.parse_args()
    real = chosen.what in {"pairs", "overhead", "workers"}
    home = os.environ.get("LOCALPROMPT_HOME")
    with tempfile.TemporaryDirectory() as folder, ClusterLab(Path(folder)) as lab:
        if real:  # the models of the user's own store
            if home is None:
                os.environ.pop("LOCALPROMPT_HOME")
            else:
                os.environ["LOCALPROMPT_HOME"] = home
            lab.store.close()
            lab.store = History(Path(folder) / "real.db")
        what: dict[str, Callable[[], Iterator[str]]] = {
            "pairs": lambda: pairs(lab, chosen.cases or 400, chosen.turns),
            "overhead": lambda: overhead(lab, chosen.cases or 400, chosen.turns),
            "workers": lambda: workers(lab, chosen.cases or 64, chosen.turns),
            "path": lambda: path(lab, chosen.cases or 5000, chosen.turns),
            "tasks": lambda: tasks(lab, chosen.cases or 1000),
            "memory": lambda: client_memory(lab, chosen.cases or 100_000),
        }
        for line in what[chosen.what]():
            print(line, flush=True)
            print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
