"""What people name (``last``, ids) → the figures of a bench."""

from __future__ import annotations

from localprompt.bench.comparing import single_run_result
from localprompt.bench.results import bench_result
from localprompt.errors import UnknownNameError
from localprompt.records.bench import BenchResult
from localprompt.store.experiments import ExperimentReader


def load_bench(reference: str, history: ExperimentReader) -> BenchResult:
    """The bench that ``reference`` names; ``last`` and ``last~N`` count benches.

    Raises:
        UnknownNameError: there is none.
    """
    experiment = history.experiment(reference)
    return bench_result(
        experiment, history.runs_of(experiment.id), history.failures_of(experiment.id)
    )


def load_bench_or_run(reference: str, history: ExperimentReader) -> BenchResult:
    """As :func:`load_bench`, or the single run of that id.

    Raises:
        UnknownNameError: there is neither.
    """
    try:
        return load_bench(reference, history)
    except UnknownNameError as no_bench:
        if reference.strip().startswith("last"):
            raise
        try:
            run = history.get(reference)
        except UnknownNameError:
            raise no_bench from None
    return single_run_result(run, history.samples(run.id))
