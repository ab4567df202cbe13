"""What ``improve`` gains on the reviews and on three suites of its own, and what it takes.

    python benchmarks/improve_gain.py run -m smollm2-135m --seeds 0,1,2 -o gain.json
    python benchmarks/improve_gain.py show gain.json > gain.md

Each search runs in a process of its own; its wall time, CPU time and peak memory are those of that
process and its children. On a busy machine wall time means little: the load is written beside it.
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

HERE = Path(__file__).parent
LEARNT = 256
"""Rows of the reviews to learn from, as many as the tuning that they are compared with had."""
SUITES: dict[str, tuple[str, str, str | None]] = {
    "reviews": ("sentiment-plain", "sentiment-train.csv", "sentiment.csv"),
    "tickets": ("route-ticket", "tickets.csv", None),
    "meetings": ("read-meeting", "meetings.jsonl", None),
    "notes": ("answer-from-note", "notes.csv", None),
}


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


def searched(suite: str, seed: int, model: str, threads: int | None) -> Searched:
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
            *(("--threads", str(threads)) if threads else ()),
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
        winner=f"{winner.wording}; examples: {winner.examples}; {winner.weighing.name}",
        wall_seconds=wall,
        cpu_seconds=cpu,
        peak_rss_bytes=peak,
        asked=record.evaluations,
        raced_share=record.raced / record.full_grid if record.full_grid else None,
        tokens=record.tokens,
    )


def table(found: list[Searched]) -> str:
    """As Markdown."""
    lines = [
        "| suite | seed | held out | original | improved | gain (95 %) | p | found | CPU time | "
        "peak RSS | raced |",
        "| --- | ---: | ---: | ---: | ---: | --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for one in found:
        span = one.interval
        between = f" ({100 * span[0]:+.1f} to {100 * span[1]:+.1f})" if span else ""
        cells = (
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    doing = parser.add_subparsers(dest="doing", required=True)
    run = doing.add_parser("run")
    run.add_argument("-m", "--model", default="smollm2-135m")
    run.add_argument("--seeds", default="0,1,2")
    run.add_argument("--suites", default=",".join(SUITES))
    run.add_argument("--threads", type=int)
    run.add_argument("-o", "--output", type=Path, required=True)
    show = doing.add_parser("show")
    show.add_argument("file", type=Path)
    given = parser.parse_args()
    if given.doing == "show":
        kept = msgspec.json.decode(given.file.read_bytes(), type=dict[str, Any])
        print(table(msgspec.convert(kept["searches"], list[Searched])), end="")
        return
    found: list[Searched] = []
    for suite in given.suites.split(","):
        for seed in map(int, given.seeds.split(",")):
            found.append(searched(suite, seed, given.model, given.threads))
            kept = {"searches": msgspec.to_builtins(found)}
            given.output.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
