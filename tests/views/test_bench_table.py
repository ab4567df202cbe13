from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from localprompt.records.bench import BenchResult, Experiment, RefusedCell, Repetitions
from localprompt.views.bench import estimate_line, print_bench, print_plan
from tests.views.bench_records import (
    OUTLIERS,
    bench,
    cell,
    experiment,
    planned,
    sample_bench,
    synthetic,
)


def shown(what: BenchResult | Experiment, width: int = 160) -> str:
    """As a file or a pipe gets it: no colour."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=False)
    if isinstance(what, Experiment):
        print_plan(what, console)
    else:
        print_bench(what, console)
    return stream.getvalue()


def line_with(text: str, word: str) -> str:
    return next(line for line in text.splitlines() if word in line)


def test_a_wide_table_has_one_line_per_cell_with_the_labels_first() -> None:
    line = line_with(shown(sample_bench()), "m  4096")
    assert line.split()[:2] == ["smollm2-135m", "4096"]
    for figure in ("120 ± 0.5 ms", "432 ± 2 tok/s", "157 ± 0.7 tok/s", "220 MiB", "81 % mem"):
        assert figure in line
    assert line.rstrip().endswith("warned")


def test_the_table_fits_80_columns_without_losing_a_figure() -> None:
    text = shown(sample_bench(), width=80)
    assert max(len(line) for line in text.splitlines()) <= 80
    for figure in ("92.4", "± 0.4 ms", "432", "157", "34 % arith", "81 % mem", "220 MiB", "120 ms"):
        assert figure in text
    assert "…" not in text


def test_four_labels_still_fit_80_columns() -> None:
    labels = {"model": "gemma3-270m-q4_0", "n_ctx": "1024", "type_k": "q8_0", "threads": "2"}
    text = shown(bench([cell(labels)]), width=80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert all(line in text for line in ("gemma3-270m-q4_0", "type_k q8_0", "threads 2"))


@pytest.mark.parametrize("width", [80, 160])
def test_too_few_samples_are_said_instead_of_an_interval(width: int) -> None:
    text = shown(bench([cell(count=3)]), width)
    assert "(n<6)" in text
    assert "± half" in text
    assert "± 0" not in text


def test_warnings_with_the_same_advice_are_listed_together() -> None:
    cells = [cell({"model": model}, warnings=(OUTLIERS,)) for model in ("a", "b")]
    text = shown(bench(cells))
    assert text.count(OUTLIERS.message) == 2
    assert text.count(OUTLIERS.advice) == 1


def test_refused_and_failed_cells_tell_why() -> None:
    text = shown(sample_bench())
    assert "gemma3-270m, n_ctx 4096: needs 9.1 GiB, 7.2 are free" in text
    assert "gemma3-270m, n_ctx 1024: worker was killed by signal 9 (SIGKILL)" in text
    assert line_with(text, "gemma3-270m   1024").rstrip().endswith("failed")


def test_an_unfinished_bench_says_how_to_go_on() -> None:
    assert "--resume" in shown(bench([cell()], complete=False))
    assert "--resume" not in shown(bench([cell()]))


def test_square_brackets_in_a_label_are_no_markup() -> None:
    assert "[red]model[/red]" in shown(bench([cell({"model": "[red]model[/red]"})]))


def test_a_synthetic_cell_has_a_rate_and_no_ttft() -> None:
    text = shown(bench([synthetic("pp512", 432.0)]))
    assert "432 ± 2 tok/s" in line_with(text, "pp512")
    assert "TTFT" not in text


def test_the_plan_lists_cells_and_refused_ones() -> None:
    refused = (RefusedCell({"n_ctx": "65536"}, "needs 9.1 GiB, 7.2 are free"),)
    text = shown(experiment([planned({"n_ctx": "1024"})], refused))
    assert line_with(text, "1024").split() == ["1024", "summarize", "2.00", "s"]
    assert "n_ctx 65536: needs 9.1 GiB, 7.2 are free" in text
    assert "1 cell × 8 repetitions: estimated 16.0 s" in text


def test_the_plan_shows_a_workload_that_is_also_a_label_once() -> None:
    plan = experiment([planned({"workload": name}, name) for name in ("pp512", "tg64")])
    assert line_with(shown(plan), "workload").split() == ["workload", "one", "repetition"]
    assert line_with(shown(plan), "pp512").split() == ["pp512", "2.00", "s"]


def test_a_plan_of_nothing_is_no_table() -> None:
    assert shown(experiment([])).startswith("0 cells")


def test_the_estimate_is_a_range_where_the_number_of_repetitions_is() -> None:
    plan = experiment([planned({"n_ctx": "1"}), planned({"n_ctx": "2"})], fixed=None)
    assert "estimated 20.0 s to 2 min 00 s" in estimate_line(plan)


def test_the_estimate_says_what_it_does_not_know() -> None:
    known = planned({"n_ctx": "1"})
    unknown = msgspec.structs.replace(known, estimated_seconds=None)
    both = msgspec.structs.replace(experiment([known, unknown]), repetitions=Repetitions(5))
    assert "estimated at least 10.0 s" in estimate_line(both)
    assert "unknown" in estimate_line(experiment([unknown]))
