"""Stored repetitions → the figures of a bench; pure, and done whenever they are read.

Times come from the timing pass only and memory from the memory pass only. A worker loads once
whatever it repeats, so a cell has as many loads as it had workers, not as it had repetitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from localprompt.bench.limits import share_of
from localprompt.bench.remaining import missing
from localprompt.measure.timeline import token_gaps
from localprompt.measure.warnings import sample_warnings
from localprompt.records.bench import (
    METRICS,
    BenchResult,
    CellFailure,
    CellResult,
    Experiment,
    LimitShare,
    PlannedCell,
)
from localprompt.records.run import Machine, RunRecord, RunWarning, Samples
from localprompt.stats.roofline import TokenWork, decode_limit, prefill_limit
from localprompt.stats.samples import Summary, median, summarize

Repetition = tuple[RunRecord, Samples]

_JUDGED = {
    "ttft_seconds": "TTFT",
    "prefill_tokens_per_second": "prefill",
    "decode_tokens_per_second": "decode",
}
"""What sample warnings are about. A prompt's prefill is most of its TTFT: said once."""
_BENCH_WIDE = frozenset(
    {
        "another_bench",
        "clock_gap",
        "cpu_quota",
        "frequency_change",
        "on_battery",
        "other_load",
        "stolen_time",
        "swap",
        "throttled",
    }
)
"""Warnings about the machine: they concern the bench, not the cell that happened to run."""


def bench_result(
    experiment: Experiment,
    repetitions: Sequence[Repetition],
    failures: Iterable[CellFailure] = (),
) -> BenchResult:
    """The bench as views show it.

    Args:
        repetitions: its runs with their raw times, oldest first.
        failures: oldest first; of a cell that has all its repetitions by now they are history.

    Raises:
        ValueError: neither the experiment nor any run says which machine it was.
    """
    runs = [run for run, _ in repetitions]
    by_cell: dict[str, list[Repetition]] = {cell.key: [] for cell in experiment.cells}
    for run, samples in repetitions:
        if run.bench is not None and run.bench.cell in by_cell:
            by_cell[run.bench.cell].append((run, samples))
    failed = {failure.cell: failure for failure in failures}
    cells = []
    for cell in experiment.cells:
        own = by_cell[cell.key]
        alone = msgspec.structs.replace(experiment, cells=(cell,))
        failure = failed.get(cell.key) if missing(alone, (run for run, _ in own)) else None
        cells.append(_cell_result(cell, own, failure))
    return BenchResult(
        experiment=experiment,
        machine=_machine(experiment, runs),
        cells=tuple(cells),
        warnings=_bench_warnings(runs),
        complete=not missing(experiment, runs),
    )


def _cell_result(
    cell: PlannedCell, repetitions: Sequence[Repetition], failure: CellFailure | None
) -> CellResult:
    timed = [(r, s) for r, s in repetitions if r.bench and r.bench.phase == "timing"]
    measured = next((r for r, _ in repetitions if r.bench and r.bench.phase == "memory"), None)
    runs = [run for run, _ in timed]
    metrics = _metrics(runs)
    latest = runs[-1] if runs else measured
    cold = measured is not None and measured.bench is not None and measured.bench.cold_load
    decode, prefill = _limits(cell, latest, metrics) if latest else (None, None)
    return CellResult(
        cell=cell,
        metrics=metrics,
        memory=measured.memory if measured else None,
        prompt_tokens=latest.tokens.prompt if latest else None,
        completion_tokens=latest.tokens.completion if latest else None,
        cold_load_seconds=measured.timing.load_seconds if measured and cold else None,
        decode_limit=decode,
        prefill_limit=prefill,
        token_gaps_seconds=_median_gaps(timed),
        output_text=latest.output.text if latest else "",
        warnings=_cell_warnings(runs, metrics),
        failure=failure,
        model=latest.model if latest else None,
        settings=latest.settings if latest else None,
    )


def _metrics(runs: Sequence[RunRecord]) -> dict[str, Summary]:
    found = {}
    for metric in METRICS:
        values = [v for run in runs if (v := getattr(run.timing, metric)) is not None]
        if values:
            found[metric] = summarize(values)
    return found


def _limits(
    cell: PlannedCell, run: RunRecord, metrics: dict[str, Summary]
) -> tuple[LimitShare | None, LimitShare | None]:
    """(decode, prefill): medians beside the limits of the cell's work."""
    if cell.work is None or cell.ceilings is None:
        return None, None
    work: TokenWork = cell.work
    decode = prefill = None
    if (rate := metrics.get("decode_tokens_per_second")) is not None:
        limit = decode_limit(
            work,
            cell.ceilings,
            prompt_tokens=run.tokens.prompt,
            completion_tokens=run.tokens.completion,
        )
        decode = share_of(limit, rate.median)
    if (rate := metrics.get("prefill_tokens_per_second")) is not None:
        limit = prefill_limit(
            work,
            cell.ceilings,
            tokens=run.tokens.prompt - run.tokens.reused,
            reused_tokens=run.tokens.reused,
            n_ubatch=run.settings.n_ubatch,
        )
        prefill = share_of(limit, rate.median)
    return decode, prefill


def _median_gaps(timed: Sequence[Repetition]) -> tuple[float, ...]:
    """By token index, over the repetitions that got that far."""
    gaps = [token_gaps(samples.token_seconds) for _, samples in timed]
    longest = max((len(of_run) for of_run in gaps), default=0)
    return tuple(
        median([of_run[index] for of_run in gaps if index < len(of_run)])
        for index in range(longest)
    )


def _cell_warnings(
    runs: Sequence[RunRecord], metrics: dict[str, Summary]
) -> tuple[RunWarning, ...]:
    found: list[RunWarning] = []
    for metric, name in _JUDGED.items():
        if metric == "prefill_tokens_per_second" and "ttft_seconds" in metrics:
            continue
        if metric in metrics:
            found += sample_warnings(metrics[metric].samples, name)
    own = (w for run in runs for w in run.warnings if w.code not in _BENCH_WIDE)
    return tuple(dict.fromkeys([*found, *own]))


def _bench_warnings(runs: Sequence[RunRecord]) -> tuple[RunWarning, ...]:
    """One for each kind, with how many repetitions it concerns; the last one's words."""
    concerned: dict[str, list[RunWarning]] = {}
    for run in runs:
        for warning in run.warnings:
            if warning.code in _BENCH_WIDE:
                concerned.setdefault(warning.code, []).append(warning)
    return tuple(
        RunWarning(
            code,
            f"{warnings[-1].message} (in {len(warnings)} of {len(runs)} repetitions)",
            warnings[-1].advice,
        )
        for code, warnings in concerned.items()
    )


def _machine(experiment: Experiment, runs: Sequence[RunRecord]) -> Machine:
    if runs:
        return runs[-1].machine
    if experiment.machine is None:
        raise ValueError(f"experiment {experiment.id} does not say which machine it ran on")
    return experiment.machine
