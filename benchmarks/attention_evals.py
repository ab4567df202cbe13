"""Evaluations as attention is chosen for them, beside llama.cpp's default and without it.

    python -m benchmarks.attention_evals [-m MODEL] [-n 5] [--only texts choices scored] [--cpu]

64 texts of 64 tokens, 200 choices with generated answers, 200 choices scored: the workloads of
``benchmarks.peers``. Each is evaluated by ``localprompt eval`` in new processes, three ways in
turns: as it is chosen, ``--flash-attn`` (what llama.cpp, llama-server and we do where nothing was
measured), ``--no-flash-attn``. Told are the seconds of the work without loading, those over the
floor at that depth, and the peak beside its prediction. With ``--cpu`` one thread computes, and the
seconds are CPU time of the whole process, loading and floor included: for machines that are busy.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers import workloads
from localprompt.measure import machine
from localprompt.stats.samples import median

WAYS: dict[str, tuple[str, ...]] = {
    "chosen": (),
    "on": ("--flash-attn",),
    "off": ("--no-flash-attn",),
}
WORK: dict[str, tuple[workloads.Workload, tuple[str, ...]]] = {
    "texts": (workloads.texts(64), ()),
    "choices": (workloads.choices(200), ("--scoring", "generate")),
    "scored": (workloads.choices(200), ()),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", default="smollm2-135m")
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=tuple(WORK), default=tuple(WORK))
    parser.add_argument("--cpu", action="store_true", help="CPU seconds of one thread")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    clock = "CPU seconds, one thread" if options.cpu else "seconds on the wall"
    print(f"{machine.describe().cpu}, {options.model}, n = {options.n}, medians, {clock}\n")
    print("| work | way | seconds | way / chosen | over its floor | peak / predicted | as |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    kept: dict[str, Any] = {"model": options.model, "n": options.n}
    for name in options.only:
        kept[name] = _measured(options.model, name, options.n, cpu=options.cpu)
    if options.output:
        options.output.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _measured(model: str, name: str, n: int, *, cpu: bool) -> dict[str, list[dict[str, Any]]]:
    workload, flags = WORK[name]
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        suite = workloads.write_suite(workload, Path(folder), "http://localhost")
        plain = Path(folder) / "plain.jinja"
        plain.write_text("", encoding="utf-8")
        flags += ("--chat-template", str(plain), "--max-tokens", str(workload.max_tokens))
        flags += ("--threads", "1") if cpu else ()
        flags += ("--choices", ",".join(workload.choices)) if workload.choices else ()
        _evaluated(suite, model, (*flags, "--limit", "64"))  # tables, and the file in memory
        for _ in range(n):
            for way, typed in WAYS.items():
                found[way].append(_evaluated(suite, model, (*flags, *typed)))
    for one in (one for times in found.values() for one in times if cpu):
        one["seconds"], one["floor"] = one["cpu"], None
    chosen = median([one["seconds"] for one in found["chosen"]])
    for way, times in found.items():
        seconds = median([one["seconds"] for one in times])
        over = [one["seconds"] / one["floor"] for one in times if one["floor"]]
        peak = [one["peak"] / one["predicted"] for one in times if one["predicted"]]
        print(
            f"| {name} | {way} | {seconds:.2f} | {seconds / chosen:.2f} "
            f"| {f'{median(over):.2f}' if over else 'unknown'} "
            f"| {f'{median(peak):.3f}' if peak else 'unknown'} "
            f"| {times[-1]['attention'] or 'typed'}, {times[-1]['parallel']} at once |",
            flush=True,
        )
    return found


def _evaluated(suite: Path, model: str, flags: tuple[str, ...]) -> dict[str, Any]:
    command = [sys.executable, "-m", "localprompt", "eval", str(suite), "-m", model]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, "--no-cache", "--no-log", "--format", "json", *flags],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    (use,) = json.loads(done.stdout)["uses"]
    settings, memory, floor = use["settings"], use["memory"], use["floor"]
    return {
        "seconds": use["wall_seconds"],
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "floor": floor and _floor(floor),
        "peak": memory["peak_rss_bytes"],
        "predicted": memory["predicted_peak_bytes"],
        "attention": settings["attention"],
        "parallel": use["parallel"],
    }


def _floor(floor: dict[str, Any]) -> float:
    own = (floor["shared_tokens"] + floor["own_tokens"]) / floor["prefill_tokens_per_second"]
    rate = floor["decode_tokens_per_second"]
    return float(own + (floor["generated_tokens"] / rate if rate else 0.0))


if __name__ == "__main__":
    main()
