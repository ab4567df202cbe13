"""What ``improve`` gains on the reviews and on three suites of its own, and what it takes.

    python benchmarks/improve_gain.py plan -o gain.json              what is left, and its time
    python benchmarks/improve_gain.py run -o gain.json --within 10   as many as end in ten minutes
    python benchmarks/improve_gain.py run -o gain.json -m qwen2.5-coder-0.5b --suites reviews
    python benchmarks/improve_gain.py show gain.json > gain.md

Every search that ended is in the file, so the same command goes on where it was cut off; a search
that was cut off itself takes its answers over. Times are estimates until a search of the same kind
is in the file. Each search runs in a process of its own; its wall time, CPU time and peak memory
are those of that process and its children. On a busy machine wall time means little: the load is
written beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from localprompt.records.improvement import Improvement
from localprompt.stats.samples import median

HERE = Path(__file__).parent
LEARNT = 256
"""Rows of the reviews to learn from, as many as the tuning that they are compared with had."""
SUITES: dict[str, tuple[str, str, str | None]] = {
    "reviews": ("sentiment-plain", "sentiment-train.csv", "sentiment.csv"),
    "tickets": ("route-ticket", "tickets.csv", None),
    "meetings": ("read-meeting", "meetings.jsonl", None),
    "notes": ("answer-from-note", "notes.csv", None),
}
MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b")
_SECONDS = {"reviews": 110.0, "tickets": 160.0, "meetings": 420.0, "notes": 200.0}
"""Of one search with the starter model on two quiet cores: estimated."""
_SLOWER = {"smollm2-135m": 1.0, "qwen2.5-coder-0.5b": 4.5}


class Searched(msgspec.Struct, frozen=True):
    """One search."""

    suite: str
    seed: int
    model: str
    created_at: str
    cpu: str | None
    load: float
    """Processes that wanted a core, on average over the minute before it ended."""
    n: int
    before: float
    after: float
    interval: tuple[float, float] | None
    p_value: float
    shown: bool
    winner: str
    wall_seconds: float
    cpu_seconds: float | None
    peak_rss_bytes: int | None
    asked: int
    raced_share: float | None
    tokens: int
    stopped: str | None = None
    """Which budget ended it early."""


def searched(suite: str, seed: int, model: str, given: argparse.Namespace) -> Searched:
    """Run one search."""
    prompt, cases, final = SUITES[suite]
    with tempfile.TemporaryDirectory() as folder:
        learnt = HERE / "datasets" / cases
        if final is not None:
            lines = learnt.read_text(encoding="utf-8").splitlines(keepends=True)
            learnt = Path(folder) / cases
            learnt.write_text("".join(lines[: LEARNT + 1]), encoding="utf-8")
        command = [
            *(sys.executable, "-m", "localprompt", "improve"),
            *(str(HERE / "prompts" / f"{prompt}.prompty"), "--cases", str(learnt)),
            *(("--final", str(HERE / "datasets" / final)) if final else ()),
            *("-m", model, "--seed", str(seed), "--format", "json"),
            *("--minutes", f"{given.each:g}"),
            *(("--max-evaluations", str(given.evaluations)) if given.evaluations else ()),
            *(("--threads", str(given.threads)) if given.threads else ()),
        ]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        ran = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        after, took = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    if ran.returncode not in {0, 1}:
        raise SystemExit(f"improve ended with {ran.returncode}")
    record = msgspec.json.decode(ran.stdout, type=Improvement)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return summary(record, suite, took, cpu, after.ru_maxrss * 1024)


def summary(
    record: Improvement, suite: str, wall: float, cpu: float | None, peak: int | None
) -> Searched:
    """What is kept of a search."""
    final, winner = record.final, record.trial(record.winner)
    if final is None or winner is None:
        raise SystemExit("the search did not end")
    interval = final.interval
    return Searched(
        suite=suite,
        seed=record.request.seed,
        model=record.model.name,
        created_at=record.created_at,
        cpu=record.machine.cpu,
        load=os.getloadavg()[0],
        n=final.n,
        before=final.before,
        after=final.after,
        interval=(interval.low, interval.high) if interval else None,
        p_value=final.p_value,
        shown=final.shown,
        winner=f"{winner.asked}; examples: {winner.examples}; {winner.weighing.name}",
        wall_seconds=wall,
        cpu_seconds=cpu,
        peak_rss_bytes=peak,
        asked=record.evaluations,
        raced_share=record.raced / record.full_grid if record.full_grid else None,
        tokens=record.tokens,
        stopped=record.stopped,
    )


def table(found: list[Searched]) -> str:
    """As Markdown."""
    lines = [
        "| model | suite | seed | held out | original | improved | gain (95 %) | p | found | "
        "CPU time | peak RSS | raced |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for one in found:
        span = one.interval
        between = f" ({100 * span[0]:+.1f} to {100 * span[1]:+.1f})" if span else ""
        cells = (
            one.model,
            one.suite,
            str(one.seed),
            str(one.n),
            f"{one.before:.1%}",
            f"{one.after:.1%}",
            f"{100 * (one.after - one.before):+.1f} points{between}",
            f"{one.p_value:.2g}",
            one.winner if one.shown else f"no gain shown ({one.winner})",
            "–" if one.cpu_seconds is None else f"{one.cpu_seconds:.0f} s",
            "–" if one.peak_rss_bytes is None else f"{one.peak_rss_bytes / 2**20:.0f} MiB",
            "–" if one.raced_share is None else f"{one.raced_share:.0%}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def medians(found: list[Searched]) -> str:
    """The median gain of each model and suite, and the share of the grid that racing asked."""
    lines = ["| model | suite | n | median gain | worst | racing asked |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for model, suite in dict.fromkeys((one.model, one.suite) for one in found):
        some = [one for one in found if (one.model, one.suite) == (model, suite)]
        gains = [100 * (one.after - one.before) for one in some]
        shares = [one.raced_share for one in some if one.raced_share is not None]
        raced = f"{median(shares):.0%}" if shares else "–"
        lines.append(
            f"| {model} | {suite} | {len(some)} | {median(gains):+.1f} points | "
            f"{min(gains):+.1f} | {raced} |"
        )
    return "\n".join(lines) + "\n"


def expected_seconds(
    model: str, suite: str, found: list[Searched], each: float
) -> tuple[float, str]:
    """How long a search will take, and what that rests on."""
    same = [one.wall_seconds for one in found if (one.model, one.suite) == (model, suite)]
    if same:
        return median(same), "as measured before"
    return min(60 * each, _SECONDS[suite] * _SLOWER.get(model, 4.5)), "estimated"


def left(
    models: list[str], suites: list[str], seeds: list[int], found: list[Searched]
) -> list[tuple[str, str, int]]:
    """What is not in the file yet; a seed of everything comes before the next seed of anything."""
    done = {(one.model, one.suite, one.seed) for one in found}
    every = [(model, suite, seed) for seed in seeds for model in models for suite in suites]
    return [one for one in every if one not in done]


def read(path: Path) -> list[Searched]:
    if not path.is_file():
        return []
    kept = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    return msgspec.convert(kept["searches"], list[Searched])


def run(given: argparse.Namespace, found: list[Searched]) -> None:
    began = time.monotonic()
    for model, suite, seed in left(given.model, given.suites, given.seeds, found):
        seconds, why = expected_seconds(model, suite, found, given.each)
        if given.within is not None and time.monotonic() - began + seconds > 60 * given.within:
            print(f"not begun: {model}, {suite}, seed {seed}: {seconds:.0f} s ({why})")
            continue
        print(f"{model}, {suite}, seed {seed}: about {seconds:.0f} s ({why})", flush=True)
        found.append(searched(suite, seed, model, given))
        kept = {"searches": msgspec.to_builtins(found)}
        draft = given.output.with_suffix(".part")
        draft.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        draft.replace(given.output)


def plan(given: argparse.Namespace, found: list[Searched]) -> None:
    total = 0.0
    for model, suite, seed in left(given.model, given.suites, given.seeds, found):
        seconds, why = expected_seconds(model, suite, found, given.each)
        total += seconds
        print(f"{model:<22} {suite:<9} seed {seed}  {seconds / 60:5.1f} min  {why}")
    print(f"{len(found)} in the file; what is left takes about {total / 60:.0f} min")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    doing = parser.add_subparsers(dest="doing", required=True)
    for name in ("plan", "run"):
        one = doing.add_parser(name)
        one.add_argument("-m", "--model", type=_words, default=list(MODELS))
        one.add_argument("--seeds", type=lambda text: [*map(int, _words(text))], default=[0, 1, 2])
        one.add_argument("--suites", type=_words, default=list(SUITES))
        one.add_argument("--threads", type=int)
        one.add_argument("--each", type=float, default=9.0, metavar="MINUTES")
        one.add_argument("--evaluations", type=int, metavar="N", help="most answers of a search")
        one.add_argument("--within", type=float, metavar="MINUTES")
        one.add_argument("-o", "--output", type=Path, required=True)
    show = doing.add_parser("show")
    show.add_argument("file", type=Path)
    given = parser.parse_args()
    if given.doing == "show":
        found = read(given.file)
        print(medians(found) + "\n" + table(found), end="")
        return
    (plan if given.doing == "plan" else run)(given, read(given.output))


def _words(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    main()
