"""Two benches, cell by cell: what changed, and whether that can be told.

Cells are matched by their key (the same weights, prompt, parameters, settings and sampling). What
is left is matched by its labels and workload, which is how two versions of a model or of a prompt
find each other; and where both benches have one cell only, these are the two that are meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from localprompt.bench.results import bench_result
from localprompt.errors import InputError
from localprompt.records.bench import (
    METRICS,
    BenchComparison,
    BenchResult,
    CellResult,
    ComparisonRow,
    Experiment,
    PlannedCell,
    Repetitions,
)
from localprompt.records.run import BenchPlace, RunRecord, Samples
from localprompt.stats.samples import compare
from localprompt.store.history import Found, History

MEMORY_METRICS = ("peak_rss_bytes", "anonymous_bytes", "kv_cache_bytes", "compute_bytes")
"""Fields of records.Memory that are compared. Measured once per cell, so without an interval."""


def compare_benches(a: BenchResult, b: BenchResult) -> BenchComparison:
    """B against A.

    Raises:
        InputError: they were measured on different machines.
    """
    if a.machine.id != b.machine.id:
        raise InputError(
            "results of different machines cannot be compared",
            expected=f"two benches of machine {a.machine.id} ({a.machine.cpu})",
            found=f"machine {b.machine.id} ({b.machine.cpu})",
            next_step="run the same bench on one machine, or put both into a report",
        )
    pairs = list(_pairs(a.cells, b.cells))
    in_pairs = {id(cell) for pair in pairs for cell in pair}
    return BenchComparison(
        a=a.experiment,
        b=b.experiment,
        rows=tuple(row for pair in pairs for row in _rows(*pair)),
        only_in_a=tuple(_labels(cell) for cell in a.cells if id(cell) not in in_pairs),
        only_in_b=tuple(_labels(cell) for cell in b.cells if id(cell) not in in_pairs),
        remarks=tuple(dict.fromkeys(remark for pair in pairs for remark in _remarks(*pair))),
    )


def _remarks(a: CellResult, b: CellResult) -> Iterator[str]:
    """Where the weights lay, if it was not the same: other kernels, and other memory."""
    held = [set(cell.settings.buffers or ()) if cell.settings else set() for cell in (a, b)]
    if all(held) and held[0] != held[1]:
        kinds = [" and ".join(sorted(names)) for names in held]
        yield f"weights lay in {kinds[0]} in A, in {kinds[1]} in B"


def single_run_result(run: RunRecord, samples: Samples | None) -> BenchResult:
    """A single run as a bench of one cell and one repetition, so that it can be compared."""
    cell = PlannedCell(
        key=run.id,
        labels={},
        workload=run.prompt.name or "a prompt typed in place",
        request={},
        estimated_seconds=None,
    )
    experiment = Experiment(
        id=run.id,
        kind="bench",
        created_at=run.created_at,
        localprompt_version=run.localprompt_version,
        title=f"one run of {cell.workload} on {run.model.name}",
        cells=(cell,),
        refused=(),
        repetitions=Repetitions(fixed=1),
        machine=run.machine,
    )
    timed = msgspec.structs.replace(run, bench=BenchPlace(run.id, run.id, 0, "timing"))
    result = bench_result(experiment, [(timed, samples or Samples(()))])
    # A plain run has one pass: its memory is as good as its times.
    (only,) = result.cells
    return msgspec.structs.replace(
        result, cells=(msgspec.structs.replace(only, memory=run.memory),), complete=True
    )


def _pairs(
    a: Sequence[CellResult], b: Sequence[CellResult]
) -> Iterator[tuple[CellResult, CellResult]]:
    left, right = list(a), list(b)
    by_key = _take_pairs(left, right, lambda one, other: one.cell.key == other.cell.key)
    yield from by_key
    if len(a) == len(b) == 1:
        yield from zip(left, right, strict=True)
        return
    yield from _take_pairs(left, right, lambda one, other: _labels(one) == _labels(other))


def _take_pairs(
    left: list[CellResult],
    right: list[CellResult],
    match: Callable[[CellResult, CellResult], bool],
) -> list[tuple[CellResult, CellResult]]:
    """Pairs in the order of ``left``; what is paired leaves both lists."""
    pairs = []
    for one in list(left):
        other = next((candidate for candidate in right if match(one, candidate)), None)
        if other is not None:
            left.remove(one)
            right.remove(other)
            pairs.append((one, other))
    return pairs


def _labels(cell: CellResult) -> dict[str, str]:
    return cell.cell.labels | {"workload": cell.cell.workload}


def _rows(a: CellResult, b: CellResult) -> Iterator[ComparisonRow]:
    labels = a.cell.labels or {"workload": a.cell.workload}
    for metric in METRICS:
        if metric in a.metrics and metric in b.metrics:
            both = compare(a.metrics[metric].samples, b.metrics[metric].samples)
            yield ComparisonRow(labels, metric, both)
    if a.memory is None or b.memory is None:
        return
    for metric in MEMORY_METRICS:
        before, after = getattr(a.memory, metric), getattr(b.memory, metric)
        if before is not None and after is not None:
            yield ComparisonRow(labels, metric, compare([before], [after]))


def load_bench(reference: str, history: History) -> BenchResult:
    """The bench that ``reference`` means.

    Raises:
        UnknownNameError: there is none.
    """
    experiment = history.bench(reference)
    return bench_result(
        experiment, history.runs_of(experiment.id), history.failures_of(experiment.id)
    )


def load_bench_or_run(found: Found, history: History) -> BenchResult:
    """What was found, a single run as a bench of one repetition."""
    if not found.is_run:
        return load_bench(found.id, history)
    return single_run_result(history.run(found.id), history.samples(found.id))
