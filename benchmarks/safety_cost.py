"""What it costs that ``ask`` is watched and that llama.cpp was proved: CPU seconds of whole runs.

    python -m benchmarks.safety_cost [-n 15] [--model NAME]

CPU time, with one thread, because on a machine that others use a wall clock shows the others.
Three ways in turns, each a new process that answers with one token: as it is; without the parent
that watches; without asking for the proof's verdict. Prints medians, and of the differences from
run to run the median with a 95 % interval.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence

from localprompt.stats.samples import median, median_interval

_UNWATCHED = "import sys; from localprompt.__main__ import run; sys.exit(run(sys.argv[1:]))"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=15)
    parser.add_argument("--model", default="smollm2-135m")
    arguments = parser.parse_args()
    ask = [
        "ask",
        "Hi",
        "-m",
        arguments.model,
        "--max-tokens",
        "1",
        "--threads",
        "1",
        "--no-log",
        "-q",
    ]
    ways: dict[str, tuple[Sequence[str], Mapping[str, str]]] = {
        "as it is": ([sys.executable, "-m", "localprompt", *ask], {}),
        "not watched": ([sys.executable, "-c", _UNWATCHED, *ask], {}),
        "verdict not asked": (
            [sys.executable, "-m", "localprompt", *ask],
            {"LOCALPROMPT_PROOF": "off"},
        ),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for repetition in range(-1, arguments.n):  # the first fills caches
        for way, (command, environment) in ways.items():
            taken = _seconds(command, environment)
            if repetition >= 0:
                seconds[way].append(taken)
    usual = seconds["as it is"]
    for way, samples in seconds.items():
        extra = [one - other for one, other in zip(usual, samples, strict=True)]
        interval = median_interval(sorted(extra))
        span = f" ({interval.low * 1e3:+.1f} to {interval.high * 1e3:+.1f})" if interval else ""
        print(
            f"{way:<18} {median(samples) * 1e3:7.1f} ms; as it is − this: "
            f"{median(extra) * 1e3:+.1f} ms{span}, n = {len(samples)}"
        )


def _seconds(command: Sequence[str], environment: Mapping[str, str]) -> float:
    started = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        command, check=True, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime - started.ru_utime - started.ru_stime


if __name__ == "__main__":
    main()
