"""The peak RSS that is predicted before loading, beside the one that is measured.

    python -m benchmarks.memory_prediction [-m MODEL]... [--n-ctx N]... [-o STEM]

Every combination of model, n_ctx, KV cache type and mmap runs once, in a process of its own: a
prompt that fills about a third of the context, and eight tokens of an answer. Both figures come
from that run's record; the peak is the kernel's own high water mark. Nothing here depends on how
busy the machine is. With a LOCALPROMPT_HOME of its own, or the usual one: nothing is recorded.

STEM is by default ``results/YYYY-MM-DD-memory-prediction``; it becomes STEM.json and STEM.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from localprompt import paths
from localprompt.engine.llama.library import build, cpu_features
from localprompt.measure import machine
from localprompt.models.inspect import inspect_model
from localprompt.records.run import Machine
from localprompt.running.assemble import model_record
from localprompt.units import format_bytes

MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b")
SIZES = (512, 2048, 8192)
KV_TYPES = ("f16", "q8_0")
TARGET = 0.05
"""Largest error, as a share of the measured peak."""
_HERE = Path(__file__).parent
_ANSWER_TOKENS = 8


class Row(msgspec.Struct, frozen=True):
    """One process."""

    model: str
    quantization: str | None
    n_ctx: int
    type_kv: str
    """Of keys and values."""
    use_mmap: bool
    prompt_tokens: int
    baseline_bytes: int
    """Resident before the model was opened: the prediction begins with it."""
    predicted_bytes: int
    measured_bytes: int

    @property
    def error(self) -> float:
        """Above 0: predicted too high."""
        return self.predicted_bytes / self.measured_bytes - 1


class Result(msgspec.Struct, frozen=True):
    """What is kept."""

    measured_at: str
    machine: Machine
    target: float
    rows: tuple[Row, ...]

    @property
    def largest_error(self) -> float:
        return max(abs(row.error) for row in self.rows)

    @property
    def median_error(self) -> float:
        return median(abs(row.error) for row in self.rows)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    rows = []
    for model in options.model or MODELS:
        for n_ctx, kv, use_mmap in combinations(options.n_ctx or SIZES, trained_on(model)):
            rows.append(_measured(model, n_ctx, kv, use_mmap=use_mmap))
            print(table_row(rows[-1]), flush=True)
    result = Result(
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine.describe(llama_cpp_build=build(), cpu_features=cpu_features()),
        target=TARGET,
        rows=tuple(rows),
    )
    today = result.measured_at.partition("T")[0]
    stem: Path = options.output or _HERE / "results" / f"{today}-memory-prediction"
    kept = msgspec.json.format(msgspec.json.encode(as_json(result)), indent=2)
    stem.with_suffix(".json").write_bytes(kept + b"\n")
    stem.with_suffix(".md").write_text(markdown(result), encoding="utf-8")
    print(verdict(result))


def combinations(sizes: Sequence[int], n_ctx_train: int) -> Iterator[tuple[int, str, bool]]:
    """(n_ctx, KV type, mmap); sizes beyond the training are cut, and asked once."""
    cut = dict.fromkeys(min(size, n_ctx_train) for size in sizes)
    return itertools.product(cut, KV_TYPES, (True, False))


def trained_on(model: str) -> int:
    """n_ctx_train of a model of this machine."""
    return inspect_model(Path(model_record(model).path)).n_ctx_train


def as_json(result: Result) -> dict[str, Any]:
    """The result with what is derived from it, so that the file speaks for itself."""
    tree: dict[str, Any] = msgspec.to_builtins(result)
    tree["largest_error"], tree["median_error"] = result.largest_error, result.median_error
    for row, plain in zip(result.rows, tree["rows"], strict=True):
        plain["error"] = row.error
    return tree


def verdict(result: Result) -> str:
    """One sentence: the largest and the median error, and whether that is the target."""
    met = "met" if result.largest_error <= result.target else "missed"
    return (
        f"largest error {result.largest_error:.1%}, median {result.median_error:.1%} "
        f"of {len(result.rows)} runs; target: at most {result.target:.0%}, {met}"
    )


def markdown(result: Result) -> str:
    """The result as a page."""
    facts = result.machine
    lines = [
        f"# Predicted and measured peak memory, {result.measured_at.partition('T')[0]}",
        "",
        f"- **machine**: {facts.cpu}, {facts.physical_cores} cores, "
        f"{format_bytes(facts.memory_bytes)}, {facts.os}, {facts.kernel}",
        f"- **llama.cpp**: {facts.llama_cpp_build}; {', '.join(facts.cpu_features)}",
        f"- **result**: {verdict(result)}",
        "",
        "One process for each row. The prediction is made from the file's header, the settings, "
        "the prompt's length and what was resident before the model was opened; the peak is VmHWM. "
        "An error above zero means that more was predicted than was taken.",
        "",
        "| model | type | n_ctx | KV | mmap | prompt | predicted | measured | error |",
        "| --- | --- | ---: | --- | --- | ---: | ---: | ---: | ---: |",
        *(table_row(row) for row in result.rows),
    ]
    return "\n".join(lines) + "\n"


def table_row(row: Row) -> str:
    cells = (
        row.model,
        row.quantization or "",
        str(row.n_ctx),
        row.type_kv,
        "on" if row.use_mmap else "off",
        str(row.prompt_tokens),
        format_bytes(row.predicted_bytes),
        format_bytes(row.measured_bytes),
        f"{row.error:+.1%}",
    )
    return f"| {' | '.join(cells)} |"


def _measured(model: str, n_ctx: int, kv: str, *, use_mmap: bool) -> Row:
    words = (paths.shipped("benchmarks") / "texts" / "english.txt").read_text("utf-8").split()
    command = [
        *(sys.executable, "-m", "localprompt", "ask", "-m", model, "--profile", "none"),
        *("--n-ctx", str(n_ctx), "--type-k", kv, "--type-v", kv, "--no-prefix-store"),
        *("--mmap" if use_mmap else "--no-mmap", "--max-tokens", str(_ANSWER_TOKENS)),
        *("--json", "--no-log", "--quiet"),
    ]
    text = " ".join(words[: n_ctx // 4])  # a word is about 1.3 tokens
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    record = json.loads(done.stdout)
    memory = record["memory"]
    return Row(
        model=record["model"]["name"],
        quantization=record["model"]["quantization"],
        n_ctx=record["settings"]["n_ctx"],
        type_kv=record["settings"]["type_k"],
        use_mmap=record["settings"]["use_mmap"],
        prompt_tokens=record["tokens"]["prompt"],
        baseline_bytes=memory["baseline_rss_bytes"],
        predicted_bytes=memory["predicted_peak_bytes"],
        measured_bytes=memory["peak_rss_bytes"],
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-m", "--model", action="append", help="a model; repeatable")
    parser.add_argument("--n-ctx", type=int, action="append", help="a size; repeatable")
    parser.add_argument("-o", "--output", type=Path, metavar="STEM", help="without a suffix")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
