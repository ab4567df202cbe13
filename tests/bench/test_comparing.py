from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from localprompt.bench.comparing import compare_benches, load_bench, load_bench_or_run
from localprompt.bench.results import bench_result
from localprompt.bench.thresholds import check, judge
from localprompt.errors import InputError
from localprompt.records.bench import BenchResult
from localprompt.records.condition import parse_condition
from localprompt.records.run import RunRecord
from localprompt.store.history import KINDS, History
from tests.bench.test_results import measured, timed
from tests.sample_runs import make_experiment, make_run

SLOW = (1.0, 1.01, 1.02, 1.03, 1.04, 1.05)
FAST = (0.5, 0.51, 0.52, 0.53, 0.54, 0.55)


def bench(
    cells: dict[str, Sequence[float]], *, machine: str = "machine-a", labels: bool = True
) -> BenchResult:
    """Cells by key, each with its TTFTs."""
    experiment = make_experiment(0, *cells)
    if not labels:
        bare = tuple(msgspec.structs.replace(cell, labels={}) for cell in experiment.cells)
        experiment = msgspec.structs.replace(experiment, cells=bare)
    runs = [
        timed(i, i, cell=key, ttft_seconds=value)
        for key, values in cells.items()
        for i, value in enumerate(values)
    ]
    runs += [measured(cell=key) for key in cells]
    here = msgspec.structs.replace(make_run().machine, id=machine)
    moved = [(_moved(run, machine), samples) for run, samples in runs]
    return bench_result(msgspec.structs.replace(experiment, machine=here), moved)


def _moved(run: RunRecord, machine: str) -> RunRecord:
    return msgspec.structs.replace(run, machine=msgspec.structs.replace(run.machine, id=machine))


def ttft(a: BenchResult, b: BenchResult) -> list[tuple[str, str]]:
    rows = [row for row in compare_benches(a, b).rows if row.metric == "ttft_seconds"]
    return [(row.labels.get("n_ctx", ""), row.comparison.verdict) for row in rows]


def test_cells_are_matched_by_key_in_whatever_order_they_stand() -> None:
    a, b = bench({"x": SLOW, "y": SLOW}), bench({"y": FAST, "x": SLOW})
    assert ttft(a, b) == [("x", "no difference shown"), ("y", "lower")]


def test_cells_of_other_keys_are_matched_by_their_labels() -> None:
    a, b = bench({"x": SLOW}), bench({"x2": FAST, "z": SLOW})
    relabelled = tuple(
        msgspec.structs.replace(
            cell,
            cell=msgspec.structs.replace(
                cell.cell, labels={"n_ctx": cell.cell.key.removesuffix("2")}
            ),
        )
        for cell in b.cells
    )
    b = msgspec.structs.replace(b, cells=relabelled)
    assert ttft(a, b) == [("x", "lower")]
    assert compare_benches(a, b).only_in_b == ({"n_ctx": "z", "workload": "summarize"},)


def test_two_benches_of_one_cell_each_are_about_the_same_cell() -> None:
    assert ttft(bench({"x": SLOW}), bench({"y": FAST})) == [("x", "lower")]


def test_cells_without_a_counterpart_are_named() -> None:
    comparison = compare_benches(bench({"x": SLOW, "y": SLOW}), bench({"x": SLOW, "z": SLOW}))
    assert [one["n_ctx"] for one in comparison.only_in_a] == ["y"]
    assert [one["n_ctx"] for one in comparison.only_in_b] == ["z"]


def test_weights_that_lay_elsewhere_are_named() -> None:
    def in_buffers(*names: str) -> BenchResult:
        result = bench({"x": FAST})
        (cell, *_) = result.cells
        assert cell.settings is not None
        settings = msgspec.structs.replace(cell.settings, buffers=dict.fromkeys(names, 1))
        moved = msgspec.structs.replace(cell, settings=settings)
        return msgspec.structs.replace(result, cells=(moved,))

    amx, plain = in_buffers("CPU", "AMX"), in_buffers("CPU_Mapped")
    assert compare_benches(amx, plain).remarks == (
        "weights lay in AMX and CPU in A, in CPU_Mapped in B",
    )
    assert compare_benches(amx, amx).remarks == ()


def test_results_of_different_machines_are_refused() -> None:
    with pytest.raises(InputError, match="different machines") as caught:
        compare_benches(bench({"x": SLOW}), bench({"x": SLOW}, machine="machine-b"))
    assert "machine-a" in str(caught.value.expected)
    assert "machine-b" in str(caught.value.found)


def outcomes(condition: str, b: Sequence[float] = FAST) -> list[str]:
    comparison = compare_benches(bench({"x": SLOW}), bench({"x": b}))
    return [one.outcome for one in judge(comparison, [parse_condition(condition)])]


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ("ttft_seconds > 5%", "holds"),
        ("ttft_seconds < -5%", "fails"),
        ("ttft_seconds<-30 %", "fails"),
        ("ttft_seconds < -60%", "holds"),
        ("ttft_seconds < -100ms", "fails"),
        ("ttft_seconds < -0.9s", "holds"),
        ("peak_rss_bytes > 0%", "holds"),
        ("peak_rss_bytes > -1MiB", "fails"),
        ("kv_cache_bytes < 5%", "fails"),
    ],
)
def test_a_condition_fails_only_where_the_whole_interval_confirms_it(
    condition: str, outcome: str
) -> None:
    assert outcomes(condition) == [outcome]


def test_a_difference_inside_the_noise_fails_nothing() -> None:
    # The median is 8 % higher, and the samples overlap.
    assert outcomes("ttft_seconds > 5%", (0.98, 1.0, 1.12, 1.12, 1.15, 1.2)) == ["holds"]


def test_too_few_samples_cannot_be_judged() -> None:
    assert outcomes("ttft_seconds > 5%", (2.0, 2.0)) == ["cannot be judged"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ttft > 5%", "ttft_seconds"),
        ("ttft_seconds", "FIGURE < LIMIT"),
        ("ttft_seconds = 5%", "FIGURE < LIMIT"),
        ("ttft_seconds > 5", "needs the unit"),
        ("ttft_seconds > 5MiB", "needs the unit"),
        ("peak_rss_bytes > 5 tok/s", "needs the unit"),
        ("decode_tokens_per_second < 5s", "needs the unit"),
    ],
)
def test_a_condition_that_cannot_be_read_says_what_would_be_right(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        check([parse_condition(text)])
    assert says in str(caught.value)


def test_single_runs_can_be_compared_but_not_judged(home: Path) -> None:
    with History() as history:
        for number in range(2):
            history.record(make_run(number))
    with History(read_only=True) as reader:
        a, b = (load_bench_or_run(one, reader) for one in reader.find_both("last~1", "last", KINDS))
    comparison = compare_benches(a, b)
    assert {row.comparison.verdict for row in comparison.rows} == {"too few samples"}
    assert {"ttft_seconds", "peak_rss_bytes"} <= {row.metric for row in comparison.rows}


def test_a_stored_bench_is_loaded_with_runs_and_failures(home: Path) -> None:
    experiment = make_experiment()
    with History() as history:
        history.begin(experiment)
        for run, samples in [measured(), *(timed(i, i) for i in range(3))]:
            history.record(run, samples)
    with History(read_only=True) as reader:
        result = load_bench("last", reader)
    assert result.complete
    assert result.cells[0].metrics["ttft_seconds"].n == 3
