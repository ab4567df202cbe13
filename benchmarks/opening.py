"""CPU time and peak of opening a model, its weights mapped and read.

    python -m benchmarks.opening [-m MODEL]... [-n 5]

Each opening is a process of its own; the two ways take turns, and the first of each, which fills
the page cache, does not count. CPU time counts, not wall time, so that other programs disturb it
less. What a whole answer takes either way says ``benchmarks.one_copy``, on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from statistics import median

import msgspec

from benchmarks.one_copy import MODELS, WAYS
from localprompt.models.resolve import resolve

_OPENING = """
import json, os, sys
from pathlib import Path
from localprompt.engine.llama.engine import LlamaEngine
from localprompt.engine.llama.library import library
from localprompt.measure import memory
from localprompt.records.run import RequestedSettings
library()
before = os.times()
mapped = sys.argv[2] == "mapped"
engine = LlamaEngine(Path(sys.argv[1]), RequestedSettings(use_mmap=mapped), prove=False)
after = os.times()
seconds = after.user + after.system - before.user - before.system
print(json.dumps({"cpu_seconds": seconds, "peak_rss_bytes": memory.read().peak_rss_bytes}))
"""


class Opening(msgspec.Struct, frozen=True):
    """One process."""

    cpu_seconds: float
    """User and system, all threads."""
    peak_rss_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    print("| model | weights | n | CPU s, median (range) | peak RSS MiB |")
    print("| --- | --- | --- | --- | --- |")
    for model in options.model or MODELS:
        path = str(resolve(model).path)
        found: dict[str, list[Opening]] = {way: [] for way in WAYS}
        for turn in range(options.n + 1):
            for way in list(WAYS) if turn % 2 else list(reversed(WAYS)):
                opening = _open(path, way)
                if turn:
                    found[way].append(opening)
        for way, openings in found.items():
            print(line(model, way, openings), flush=True)


def line(model: str, way: str, openings: Sequence[Opening]) -> str:
    """A row of the table."""
    seconds = [opening.cpu_seconds for opening in openings]
    peak = median(opening.peak_rss_bytes for opening in openings) / 2**20
    spread = f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
    return f"| {model} | {way} | {len(openings)} | {spread} | {peak:.0f} |"


def _open(path: str, way: str) -> Opening:
    command = [sys.executable, "-c", _OPENING, path, way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return msgspec.convert(json.loads(done.stdout), Opening)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.opening")
    parser.add_argument("-m", "--model", action="append")
    parser.add_argument("-n", type=int, default=5, help="openings of each way that count")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
