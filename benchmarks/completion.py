"""How long a shell waits for a completion, and ``--help`` beside another checkout's.

    python -m benchmarks.completion [-n 15] [--against FOLDER]

Every line is a process of its own, asked as bash asks; all lines take turns, and the first turn,
which fills the page cache, does not count. ``--against`` names another checkout, whose
``localprompt --help`` then takes turns with this one's. Wall time is what a person waits; CPU time
is what other programs disturb less.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

LINES = (
    "localprompt mo",
    "localprompt eval --sc",
    "localprompt ask -m q",
    "localprompt run sum",
    "localprompt runs show 0",
    "localprompt models quantize m --to q4",
)
"""What has been typed: a command, an option, a model, a prompt, an id, a type."""

Times = tuple[float, float]
"""Seconds of wall and of CPU."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    asked: dict[str, Callable[[], Times]] = {
        "python -c pass": lambda: timed([sys.executable, "-c", "pass"])
    }
    for line in LINES:
        asked[f"`{line}` ⇥"] = lambda line=line: completed(line)  # type: ignore[misc]
    asked["`localprompt --help`"] = lambda: helped(Path.cwd())
    if options.against:
        asked["the same in the other checkout"] = lambda: helped(options.against)
    found: dict[str, list[Times]] = {name: [] for name in asked}
    for turn in range(options.n + 1):
        for name in list(asked) if turn % 2 else list(reversed(asked)):
            times = asked[name]()
            if turn:
                found[name].append(times)
    print("| | n | wall s, median (range) | CPU s, median |")
    print("| --- | --- | --- | --- |")
    for name, every in found.items():
        print(row(name, every))


def row(name: str, times: Sequence[Times]) -> str:
    """A line of the table."""
    wall = [one for one, _ in times]
    spread = f"{median(wall):.3f} ({min(wall):.3f} to {max(wall):.3f})"
    return f"| {name} | {len(times)} | {spread} | {median(cpu for _, cpu in times):.3f} |"


def completed(line: str) -> Times:
    """What bash runs for the word at the end of the line."""
    asked = {
        "_LOCALPROMPT_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }
    return timed([sys.executable, "-m", "localprompt"], {**os.environ, **asked})


def helped(checkout: Path) -> Times:
    return timed([sys.executable, "-m", "localprompt", "--help"], where=checkout)


def timed(
    command: list[str],
    environment: dict[str, str] | None = None,
    where: Path | None = None,
) -> Times:
    """One process; its output is read and dropped."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, env=environment, cwd=where, stdout=subprocess.PIPE, check=True)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.completion")
    parser.add_argument("-n", type=int, default=15, help="processes of each that count")
    parser.add_argument("--against", metavar="FOLDER", type=Path, help="another checkout")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
