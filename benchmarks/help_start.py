"""What ``--help`` takes: in English, in Portuguese, and from another checkout, in turns.

    python benchmarks/help_start.py [--other FOLDER] [-n 40] > result.json

``--other`` is a checkout from before a change; the same Python and its packages run both. Each turn
starts every side once, in an order that is drawn; medians of wall and CPU time, and of the ratio to
English here in the same turn.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

from localprompt.stats.samples import summarize

HERE = Path(__file__).resolve().parent.parent


def started(folder: Path, language: str, arguments: list[str]) -> tuple[float, float]:
    """Seconds of the clock and of the CPU for one start."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "LANGUAGE": language}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "localprompt", *arguments],
        env=environment,
        cwd="/",
        stdout=subprocess.DEVNULL,
        check=True,
    )
    wall = time.perf_counter() - began
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--other", type=Path, help="a checkout from before the change")
    parser.add_argument("-n", "--turns", type=int, default=40)
    options = parser.parse_args()
    sides = {"English": (HERE, "en"), "Portuguese": (HERE, "pt_BR")}
    if options.other is not None:
        sides["before"] = (options.other.resolve(), "en")
    results: dict[str, dict[str, object]] = {}
    for arguments in (["--help"], ["bench", "--help"]):
        wall: dict[str, list[float]] = {name: [] for name in sides}
        cpu: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(options.turns + 1):
            for name in random.sample(list(sides), len(sides)):
                took = started(*sides[name], arguments)
                if turn:  # the first one warms up
                    wall[name].append(took[0])
                    cpu[name].append(took[1])
        results[" ".join(arguments)] = {
            name: {
                "n": len(wall[name]),
                "wall_seconds": round(summarize(wall[name]).median, 4),
                "cpu_seconds": round(summarize(cpu[name]).median, 4),
                "cpu_ratio_to_english": round(
                    summarize(
                        [a / b for a, b in zip(cpu[name], cpu["English"], strict=True)]
                    ).median,
                    3,
                ),
            }
            for name in sides
        }
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
