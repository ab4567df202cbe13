"""Small benches, made by hand, for tests that look at how they are shown."""

from __future__ import annotations

from collections.abc import Sequence

from localprompt.records.bench import (
    BenchComparison,
    BenchResult,
    CellFailure,
    CellResult,
    ComparisonRow,
    Experiment,
    LimitShare,
    PlannedCell,
    RefusedCell,
    Repetitions,
)
from localprompt.records.run import Memory, RunWarning
from localprompt.stats.samples import compare, summarize
from tests.sample_runs import make_run

MIB = 1024**2
OUTLIERS = RunWarning(
    "outliers",
    "TTFT: 1 of 8 samples lie far from the others",
    "read the median, not the mean",
)
BUSY = RunWarning("other_load", "other programs used 0.8 cores", "close other programs")


def planned(labels: dict[str, str], workload: str = "summarize") -> PlannedCell:
    key = "/".join((workload, *labels.values()))
    return PlannedCell(key, labels, workload, request={}, estimated_seconds=2.0)


def samples(middle: float, count: int = 8, spread: float = 0.01) -> tuple[float, ...]:
    """Symmetric about ``middle``: the first is its lowest, the last its highest."""
    steps = [i - (count - 1) / 2 for i in range(count)]
    return tuple(middle * (1 + spread * step / count) for step in steps)


def memory(peak_mib: int = 220, weights: int = 94, kv_cache: int = 45, compute: int = 20) -> Memory:
    return Memory(
        baseline_rss_bytes=30 * MIB,
        peak_rss_bytes=peak_mib * MIB,
        anonymous_bytes=100 * MIB,
        file_backed_bytes=120 * MIB,
        weights_bytes=weights * MIB,
        kv_cache_bytes=kv_cache * MIB,
        compute_bytes=compute * MIB,
    )


def cell(
    labels: dict[str, str] | None = None,
    *,
    ttft: float = 0.0924,
    decode: float = 157.0,
    count: int = 8,
    answer: str = "A short summary.",
    warnings: tuple[RunWarning, ...] = (),
) -> CellResult:
    """A prompt's cell with everything measured."""
    run = make_run()
    return CellResult(
        cell=planned({"model": "smollm2-135m"} if labels is None else labels),
        metrics={
            "ttft_seconds": summarize(samples(ttft, count)),
            "prefill_tokens_per_second": summarize(samples(432.0, count)),
            "decode_tokens_per_second": summarize(samples(decode, count)),
            "total_seconds": summarize(samples(ttft + 64 / decode, count)),
            "load_seconds": summarize(samples(0.12, count)),
        },
        memory=memory(),
        prompt_tokens=40,
        completion_tokens=64,
        cold_load_seconds=0.81,
        decode_limit=LimitShare(194.0, 0.81, "memory bandwidth"),
        prefill_limit=LimitShare(1270.0, 0.34, "arithmetic"),
        token_gaps_seconds=tuple(0.006 + 0.0001 * (i % 5) for i in range(63)),
        output_text=answer,
        warnings=warnings,
        failure=None,
        model=run.model,
        settings=run.settings,
    )


def synthetic(workload: str, rate: float) -> CellResult:
    """``pp512`` or ``tg64``, which have one rate and no answer."""
    prefill = workload.startswith("pp")
    metric = "prefill_tokens_per_second" if prefill else "decode_tokens_per_second"
    run = make_run()
    return CellResult(
        cell=planned({"test": workload}, workload),
        metrics={metric: summarize(samples(rate))},
        memory=memory(),
        prompt_tokens=512 if prefill else None,
        completion_tokens=None if prefill else 64,
        cold_load_seconds=None,
        decode_limit=None,
        prefill_limit=None,
        token_gaps_seconds=(),
        output_text="",
        warnings=(),
        failure=None,
        model=run.model,
        settings=run.settings,
    )


def failed(labels: dict[str, str], cause: str) -> CellResult:
    """A cell whose worker died before its first repetition had ended."""
    place = planned(labels)
    return CellResult(
        cell=place,
        metrics={},
        memory=None,
        prompt_tokens=None,
        completion_tokens=None,
        cold_load_seconds=None,
        decode_limit=None,
        prefill_limit=None,
        token_gaps_seconds=(),
        output_text="",
        warnings=(),
        failure=CellFailure("01", place.key, "2026-11-22T17:05:00Z", cause),
    )


def experiment(
    cells: Sequence[PlannedCell],
    refused: tuple[RefusedCell, ...] = (),
    *,
    fixed: int | None = 8,
    title: str = "bench summarize --n-ctx 1024,4096",
) -> Experiment:
    return Experiment(
        id=make_run().id,
        kind="bench",
        created_at="2026-11-22T17:00:00.000Z",
        localprompt_version="0.1.0",
        title=title,
        cells=tuple(cells),
        refused=refused,
        repetitions=Repetitions(fixed),
    )


def bench(
    cells: Sequence[CellResult],
    *,
    refused: tuple[RefusedCell, ...] = (),
    warnings: tuple[RunWarning, ...] = (),
    complete: bool = True,
    title: str = "bench summarize --n-ctx 1024,4096",
) -> BenchResult:
    return BenchResult(
        experiment=experiment([cell.cell for cell in cells], refused, title=title),
        machine=make_run().machine,
        cells=tuple(cells),
        warnings=warnings,
        complete=complete,
    )


def sample_bench(answer: str = "A short summary.") -> BenchResult:
    """Two measured cells, one with warnings, one that failed, one refused."""
    return bench(
        [
            cell({"model": "smollm2-135m", "n_ctx": "1024"}, answer=answer),
            cell({"model": "smollm2-135m", "n_ctx": "4096"}, ttft=0.12, warnings=(OUTLIERS,)),
            failed(
                {"model": "gemma3-270m", "n_ctx": "1024"},
                "worker was killed by signal 9 (SIGKILL)",
            ),
        ],
        refused=(
            RefusedCell({"model": "gemma3-270m", "n_ctx": "4096"}, "needs 9.1 GiB, 7.2 are free"),
        ),
        warnings=(BUSY,),
    )


def comparison(rows: Sequence[ComparisonRow] = ()) -> BenchComparison:
    cells = [planned({"model": "smollm2-135m"})]
    return BenchComparison(
        a=experiment(cells, title="bench before"),
        b=experiment(cells, title="bench after"),
        rows=tuple(rows),
        only_in_a=({"model": "gemma3-270m"},),
        only_in_b=(),
    )


def comparison_row(
    metric: str, a: Sequence[float], b: Sequence[float], **labels: str
) -> ComparisonRow:
    return ComparisonRow(labels or {"model": "smollm2-135m"}, metric, compare(a, b))
