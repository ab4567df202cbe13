"""Synthetic prefill and decode: ``localprompt bench`` beside llama-bench.

Each turn is a process of its own that warms up and repeats. Ours goes first; the settings that it
says it used in effect become llama-bench's arguments.
"""

from __future__ import annotations

import msgspec

from benchmarks.peers.llama_tools import LlamaBench, bench_arguments, llama_bench
from benchmarks.peers.processes import localprompt_command, run, scratch_home
from benchmarks.peers.results import Section, Target, figure
from benchmarks.peers.setup import Setup
from localprompt.errors import WorkerError
from localprompt.records.bench import BenchResult, CellResult
from localprompt.stats.samples import median

AT_PAR = Target(at_least=0.98)

_PREFILL, _DECODE = "prefill_tokens_per_second", "decode_tokens_per_second"


def measure(setup: Setup) -> Section:
    """Medians of every turn, pair by pair."""
    turns = []
    with scratch_home() as env:
        for _ in range(setup.pairs):
            ours = _ours(setup, env)
            turns.append((ours, _theirs(setup, ours)))
    prefill, decode = setup.prefill_tokens, setup.decode_tokens
    figures = tuple(
        figure(
            what,
            "tok/s",
            ("localprompt", [_rate(ours, metric) for ours, _ in turns]),
            ("llama-bench", [median(getattr(theirs, metric)) for _, theirs in turns]),
            AT_PAR,
        )
        for what, metric in (
            (f"prefill, {prefill} tokens", _PREFILL),
            (f"decode, {decode} tokens", _DECODE),
        )
    )
    ours, theirs = turns[-1]
    return Section(
        name="synthetic",
        title="Synthetic prefill and decode",
        how=f"`localprompt bench --prefill {prefill} --decode {decode}` and `llama-bench -p "
        f"{prefill} -n {decode}` in turns; each figure is the median of a turn's repetitions.",
        figures=figures,
        notes=(_settings_in_words(ours), f"llama-bench is of llama.cpp {theirs.commit}."),
    )


def _ours(setup: Setup, env: dict[str, str]) -> BenchResult:
    sizes = ["--prefill", str(setup.prefill_tokens), "--decode", str(setup.decode_tokens)]
    words = ["bench", *sizes, *setup.model_and_threads, "-r", str(setup.repetitions)]
    done = run(localprompt_command(*words, "--quiet", "--format", "json"), env=env)
    return bench_result(done.stdout)


def bench_result(text: str) -> BenchResult:
    """What ``localprompt bench --format json`` prints.

    Raises:
        WorkerError: it is something else, or a cell failed.
    """
    try:
        result = msgspec.json.decode(text, type=BenchResult)
    except msgspec.DecodeError as error:
        raise WorkerError("localprompt bench answered something else", found=str(error)) from error
    failures = [cell.failure.cause for cell in result.cells if cell.failure]
    if failures or not result.cells:
        raise WorkerError("a cell of localprompt bench failed", found="; ".join(failures))
    return result


def _theirs(setup: Setup, ours: BenchResult) -> LlamaBench:
    settings = ours.cells[0].settings
    if settings is None:
        raise WorkerError("localprompt bench does not say which settings it used")
    arguments = bench_arguments(
        setup.weights,
        settings,
        prefill=setup.prefill_tokens,
        decode=setup.decode_tokens,
        repetitions=setup.repetitions,
    )
    return llama_bench(setup.tools, arguments)


def _rate(result: BenchResult, metric: str) -> float:
    cells: list[CellResult] = [cell for cell in result.cells if metric in cell.metrics]
    return cells[0].metrics[metric].median


def _settings_in_words(result: BenchResult) -> str:
    settings = msgspec.to_builtins(result.cells[0].settings)
    # As large as each workload needs, on both sides.
    settings.pop("n_ctx", None)
    return "Settings: " + ", ".join(f"{name} {value}" for name, value in settings.items()) + "."
