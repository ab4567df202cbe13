from __future__ import annotations

from typing import Any

import msgspec
import pytest

from localprompt.bench.results import bench_result
from localprompt.records.bench import CellFailure
from localprompt.records.run import RunRecord, RunWarning, Samples
from localprompt.stats.roofline import Ceilings, TokenWork, decode_limit, prefill_limit
from tests.sample_runs import in_bench, make_experiment, make_run

Repetition = tuple[RunRecord, Samples]


def timed(number: int, repetition: int, *, cell: str = "cell", **timing: Any) -> Repetition:
    run = make_run(number)
    figures = {"load_seconds": None, "itl_p50_seconds": None, **timing}
    run = msgspec.structs.replace(run, timing=msgspec.structs.replace(run.timing, **figures))
    return in_bench(run, cell=cell, repetition=repetition), Samples((0.1, 0.2, 0.4))


def measured(cell: str = "cell", cold: bool | None = True, **memory: Any) -> Repetition:
    run = make_run(50)
    run = msgspec.structs.replace(
        run,
        memory=msgspec.structs.replace(run.memory, **memory),
        timing=msgspec.structs.replace(run.timing, load_seconds=0.9, ttft_seconds=99.0),
    )
    return in_bench(run, cell=cell, phase="memory", cold=cold), Samples(())


def test_times_come_from_the_timing_pass_and_memory_from_the_memory_pass() -> None:
    runs = [measured(peak_rss_bytes=7), *(timed(i, i, ttft_seconds=i + 1.0) for i in range(3))]
    (cell,) = bench_result(make_experiment(), runs).cells
    assert cell.metrics["ttft_seconds"].samples == (1.0, 2.0, 3.0)
    assert cell.memory is not None
    assert cell.memory.peak_rss_bytes == 7
    assert "itl_p50_seconds" not in cell.metrics
    assert (cell.prompt_tokens, cell.completion_tokens) == (40, 16)
    assert cell.output_text == "A short summary."


def test_loads_are_counted_by_worker_and_the_cold_one_apart() -> None:
    runs = [measured(), timed(0, 0, load_seconds=0.1), timed(1, 1), timed(2, 2, load_seconds=0.3)]
    (cell,) = bench_result(make_experiment(), runs).cells
    assert cell.metrics["load_seconds"].samples == (0.1, 0.3)
    assert cell.cold_load_seconds == 0.9


@pytest.mark.parametrize("cold", [None, False])
def test_a_load_that_was_not_cold_is_not_called_so(cold: bool | None) -> None:
    (cell,) = bench_result(make_experiment(), [measured(cold=cold)]).cells
    assert cell.cold_load_seconds is None


def test_token_gaps_are_medians_over_the_repetitions_by_index() -> None:
    (cell,) = bench_result(make_experiment(), [timed(0, 0), timed(1, 1)]).cells
    assert cell.token_gaps_seconds == pytest.approx((0.1, 0.2))


def test_a_bench_is_complete_when_no_repetition_is_missing() -> None:
    runs = [measured(), *(timed(i, i) for i in range(3))]
    assert bench_result(make_experiment(), runs).complete
    assert not bench_result(make_experiment(), runs[:-1]).complete
    assert not bench_result(make_experiment(), runs[1:]).complete
    nothing = bench_result(make_experiment(), [])
    assert not nothing.complete
    assert nothing.cells[0].metrics == {}
    assert nothing.machine.id == "machine-a"


def test_a_failure_is_shown_until_the_cell_has_all_its_repetitions() -> None:
    experiment = make_experiment(0, "good", "bad")
    failures = [CellFailure(experiment.id, key, "now", "killed") for key in ("good", "bad")]
    runs = [measured("good"), *(timed(i, i, cell="good") for i in range(3))]
    good, bad = bench_result(experiment, runs, failures).cells
    assert good.failure is None
    assert bad.failure == failures[1]


def test_what_concerns_the_machine_is_said_once_for_the_bench() -> None:
    load = RunWarning("other_load", "other programs kept 1.0 cores busy", "close them")
    odd = RunWarning("no_chat_template", "no template", "")
    runs = [timed(0, 0), timed(1, 1)]
    runs = [(msgspec.structs.replace(run, warnings=(load, odd)), s) for run, s in runs]
    result = bench_result(make_experiment(), runs)
    assert [w.code for w in result.warnings] == ["other_load"]
    assert "in 2 of 2 repetitions" in result.warnings[0].message
    assert [w.code for w in result.cells[0].warnings] == ["no_chat_template"]


def test_samples_that_give_reason_to_doubt_leave_a_warning_at_their_cell() -> None:
    times = [1.0, 1.01, 1.0, 1.02, 3.0, 1.01, 1.0]
    runs = [timed(i, i, ttft_seconds=t) for i, t in enumerate(times)]
    (cell,) = bench_result(make_experiment(), runs).cells
    assert "TTFT: 1 of 7 samples" in next(w.message for w in cell.warnings if w.code == "outliers")


def test_rates_stand_beside_the_limits_of_the_cells_own_work() -> None:
    work = TokenWork(100_000_000, 106_000_000, 28_000_000, 30, 576, 23_040)
    ceilings = Ceilings(20e9, 100e9)
    experiment = make_experiment()
    planned = msgspec.structs.replace(experiment.cells[0], work=work, ceilings=ceilings)
    experiment = msgspec.structs.replace(experiment, cells=(planned,))
    (cell,) = bench_result(experiment, [timed(0, 0)]).cells
    decode = decode_limit(work, ceilings, prompt_tokens=40, completion_tokens=16)
    prefill = prefill_limit(work, ceilings, tokens=40, n_ubatch=512)
    assert cell.decode_limit is not None
    assert cell.decode_limit.share == pytest.approx(150 / decode.tokens_per_second)
    assert cell.decode_limit.binds == "memory bandwidth"
    assert cell.prefill_limit is not None
    assert cell.prefill_limit.limit_tokens_per_second == prefill.tokens_per_second
    assert cell.prefill_limit.binds == "arithmetic"
