"""A model opened through a mapping of its file, and read into memory: load, TTFT, decode and peak.

    python -m benchmarks.one_copy [-m MODEL]... [-n 7] [--cold-n 3] [-o STEM]

Each figure is that of a ``localprompt ask`` in a process of its own, out of its record. The two
ways take turns (mapped, read, read, mapped, …), so that a machine that slows down slows both. Warm:
the weights are in the page cache. Cold: they were dropped from it before each process. Where the
weights are laid out anew for the CPU, a mapping is a second copy of them; this is what it costs
and what it saves. Run it on a quiet machine.

STEM is by default ``results/YYYY-MM-DD-one-copy``; it becomes STEM.json and STEM.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from localprompt.engine.llama.library import build, cpu_features
from localprompt.measure import machine
from localprompt.models.resolve import resolve

MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")
WAYS = {"mapped": "--mmap", "read": "--no-mmap"}
_HERE = Path(__file__).parent
_QUESTION = f"Summarize this in one sentence.\n\n{(_HERE / 'demo.txt').read_text(encoding='utf-8')}"
_TOKENS = 16


class Run(msgspec.Struct, frozen=True):
    """One process."""

    model: str
    way: str
    cold: bool
    load_seconds: float
    ttft_seconds: float
    decode_tokens_per_second: float
    peak_rss_bytes: int
    predicted_peak_bytes: int


class Row(msgspec.Struct, frozen=True):
    """Medians of one model, one way."""

    model: str
    way: str
    cold: bool
    n: int
    load_seconds: float
    until_first_token_seconds: float
    """Load and TTFT together: what a user waits."""
    decode_tokens_per_second: float
    peak_rss_bytes: int
    predicted_peak_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    runs: list[Run] = []
    for model in options.model or MODELS:
        _run(model, "mapped", cold=False)  # not counted: it fills the page cache
        for cold, times in ((False, options.n), (True, options.cold_n)):
            for n in range(times):
                order = list(WAYS) if n % 2 == 0 else list(reversed(WAYS))
                runs += [_run(model, way, cold=cold) for way in order]
        print(markdown(rows_of([run for run in runs if run.model == model])), flush=True)
    here = machine.describe(llama_cpp_build=build(), cpu_features=cpu_features())
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    stem: Path = options.output or _HERE / "results" / f"{today}-one-copy"
    kept: dict[str, Any] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": msgspec.to_builtins(here),
        "medians": msgspec.to_builtins(rows_of(runs)),
        "runs": msgspec.to_builtins(runs),
    }
    stem.with_suffix(".json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    head = f"# Weights mapped, and read, {today}\n\n{here.cpu}, medians, one process a run.\n\n"
    stem.with_suffix(".md").write_text(head + markdown(rows_of(runs)) + "\n", encoding="utf-8")


def rows_of(runs: Sequence[Run]) -> list[Row]:
    """Medians by model, way and warmth, in the order of the runs."""
    groups: dict[tuple[str, bool, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.model, run.cold, run.way), []).append(run)
    return [
        Row(
            model=model,
            way=way,
            cold=cold,
            n=len(group),
            load_seconds=median(run.load_seconds for run in group),
            until_first_token_seconds=median(r.load_seconds + r.ttft_seconds for r in group),
            decode_tokens_per_second=median(run.decode_tokens_per_second for run in group),
            peak_rss_bytes=int(median(run.peak_rss_bytes for run in group)),
            predicted_peak_bytes=int(median(run.predicted_peak_bytes for run in group)),
        )
        for (model, cold, way), group in sorted(groups.items())
    ]


def markdown(rows: Sequence[Row]) -> str:
    """The table."""
    lines = [
        "| model | page cache | weights | n | load s | load + TTFT s | decode tok/s | peak RSS MiB "
        "| predicted MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *map(_line, rows)])


def _line(row: Row) -> str:
    return (
        f"| {row.model} | {'cold' if row.cold else 'warm'} | {row.way} | {row.n} "
        f"| {row.load_seconds:.2f} | {row.until_first_token_seconds:.2f} "
        f"| {row.decode_tokens_per_second:.1f} | {row.peak_rss_bytes / 2**20:.0f} "
        f"| {row.predicted_peak_bytes / 2**20:.0f} |"
    )


def _run(model: str, way: str, *, cold: bool) -> Run:
    if cold:
        _drop_from_cache(resolve(model).path)
    command = [sys.executable, "-m", "localprompt", "ask", _QUESTION, "-m", model, WAYS[way]]
    command += ["--max-tokens", str(_TOKENS), "--no-log", "--json", "--profile", "none"]
    command += ["--no-prefix-store"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    record = json.loads(done.stdout)
    return Run(
        model=model,
        way=way,
        cold=cold,
        load_seconds=record["timing"]["load_seconds"],
        ttft_seconds=record["timing"]["ttft_seconds"],
        decode_tokens_per_second=record["timing"]["decode_tokens_per_second"],
        peak_rss_bytes=record["memory"]["peak_rss_bytes"],
        predicted_peak_bytes=record["memory"]["predicted_peak_bytes"],
    )


def _drop_from_cache(path: Path) -> None:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_copy")
    parser.add_argument("-m", "--model", action="append")
    parser.add_argument("-n", type=int, default=7, help="warm pairs")
    parser.add_argument("--cold-n", type=int, default=3, help="cold pairs")
    parser.add_argument("-o", "--output", type=Path, metavar="STEM")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
