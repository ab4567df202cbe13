"""llama-bench and llama-batched-bench: how they are asked, and what they answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.peers.builds import Tools
from benchmarks.peers.processes import run
from localprompt.errors import WorkerError
from localprompt.records.run import Settings


class LlamaBench(msgspec.Struct, frozen=True):
    """One invocation of llama-bench."""

    prefill_tokens_per_second: tuple[float, ...]
    """One for each repetition."""
    decode_tokens_per_second: tuple[float, ...]
    commit: str
    """Of llama.cpp, as its build saw it."""


class BatchedRate(msgspec.Struct, frozen=True):
    """One line of llama-batched-bench: so many sequences side by side."""

    sequences: int
    prefill_tokens_per_second: float
    """All sequences together."""
    decode_tokens_per_second: float


def bench_arguments(
    model: Path, used: Settings, *, prefill: int, decode: int, repetitions: int
) -> list[str]:
    """llama-bench's words for the settings that localprompt said it had used."""
    flash_attention = {True: "on", False: "off", None: "auto"}[used.flash_attn]
    return [
        *("-m", str(model), "-p", str(prefill), "-n", str(decode), "-r", str(repetitions)),
        *("-t", str(used.n_threads), "-b", str(used.n_batch), "-ub", str(used.n_ubatch)),
        *("-ctk", used.type_k, "-ctv", used.type_v, "-fa", flash_attention),
        *("-lm", "mmap" if used.use_mmap else "none", "-o", "json"),
    ]  # fmt: skip


def llama_bench(tools: Tools, arguments: Sequence[str]) -> LlamaBench:
    """
    Raises:
        WorkerError: it fails or answers something else.
    """
    return parse_bench(run([tools.program("llama-bench"), *arguments], env=tools.env).stdout)


def parse_bench(text: str) -> LlamaBench:
    """llama-bench's JSON: a list with one object for each test.

    Raises:
        WorkerError: it is not that.
    """
    try:
        tests = json.loads(text)
        prefill = next(test for test in tests if test["n_prompt"] and not test["n_gen"])
        decode = next(test for test in tests if test["n_gen"] and not test["n_prompt"])
        return LlamaBench(
            tuple(float(rate) for rate in prefill["samples_ts"]),
            tuple(float(rate) for rate in decode["samples_ts"]),
            str(prefill["build_commit"]),
        )
    except (ValueError, LookupError, TypeError, StopIteration) as error:
        raise WorkerError("llama-bench answered something else", found=repr(text[:100])) from error


def batched_bench(
    tools: Tools, model: Path, *, threads: int, prefill: int, decode: int, sequences: Sequence[int]
) -> tuple[BatchedRate, ...]:
    """Rates with 1, 2, … sequences side by side.

    Raises:
        WorkerError: it fails or answers something else.
    """
    cells = max(sequences) * (prefill + decode)
    arguments = [
        *("-m", str(model), "-c", str(cells), "-t", str(threads), "--output-format", "jsonl"),
        *("-npp", str(prefill), "-ntg", str(decode), "-npl", ",".join(map(str, sequences))),
    ]
    done = run([tools.program("llama-batched-bench"), *arguments], env=tools.env)
    return parse_batched(done.stdout)


def parse_batched(text: str) -> tuple[BatchedRate, ...]:
    """llama-batched-bench's JSON lines, among whatever else it says.

    Raises:
        WorkerError: there are none.
    """
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    try:
        rates = tuple(
            BatchedRate(int(line["pl"]), float(line["speed_pp"]), float(line["speed_tg"]))
            for line in lines
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WorkerError(
            "llama-batched-bench answered something else", found=str(error)
        ) from error
    if not rates:
        raise WorkerError("llama-batched-bench gave no figures", found=repr(text[-100:]))
    return rates
