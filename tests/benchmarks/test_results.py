from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers.markdown import to_markdown
from benchmarks.peers.results import (
    Environment,
    Figure,
    PeerResult,
    Section,
    Target,
    figure,
    read_json,
    write_json,
)
from localprompt.records.model import ModelRecord
from localprompt.records.run import Machine, RunWarning

OTHER_LOAD = RunWarning("other_load", "other programs kept 1.6 cores busy", "close them and repeat")
MACHINE = Machine(
    id="abc",
    cpu="Some CPU",
    physical_cores=2,
    logical_cores=2,
    memory_bytes=8 << 30,
    os="Some OS",
    kernel="Linux 6",
    python="CPython 3.11",
    llama_cpp_build="llama-cpp-python 0.3.36",
    cpu_features=("AVX2",),
    governor=None,
    on_battery=None,
    throttled=None,
)


def result_with(*sections: Section) -> PeerResult:
    model = ModelRecord("starter", "starter.gguf", quantization="Q4_1", size_bytes=98_362_432)
    environment = Environment(
        MACHINE, "0.1.0", "abc123", model, "given", "their own", (0.1, 0.1, 0.1), (1.0, 0.5, 0.2)
    )
    return PeerResult("2026-11-22T12:00:00+00:00", 2, 5, 2, environment, sections)


def two_pairs(target: Target | None = None) -> Figure:
    return figure("decode", "tok/s", ("ours", [100.0, 50.0]), ("theirs", [50.0, 100.0]), target)


def test_ratios_are_made_pair_by_pair_and_not_from_medians() -> None:
    made = two_pairs()
    assert (made.a_median, made.b_median) == (75.0, 75.0)
    assert (made.ratio.median, made.ratio.lowest, made.ratio.highest) == (1.25, 0.5, 2.0)
    assert made.ratio.n == 2


def test_sides_with_different_numbers_of_turns_are_no_figure() -> None:
    with pytest.raises(ValueError, match="shorter"):
        figure("decode", "tok/s", ("ours", [1.0, 2.0]), ("theirs", [1.0]))


def test_no_turns_are_no_figure() -> None:
    with pytest.raises(ValueError, match="no samples"):
        figure("decode", "tok/s", ("ours", []), ("theirs", []))


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target(at_least=1.25), True),
        (Target(at_least=1.26), False),
        (Target(at_most=1.25), True),
        (Target(at_most=1.24), False),
        (Target(at_least=1.0, at_most=1.2), False),
        (None, None),
    ],
)
def test_a_target_is_held_by_the_median_ratio(target: Target | None, met: bool | None) -> None:
    assert two_pairs(target).met is met


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=9))
def test_a_program_beside_itself_has_the_ratio_one(samples: list[float]) -> None:
    ratio = figure("wall", "s", ("a", samples), ("b", samples)).ratio
    assert (ratio.lowest, ratio.median, ratio.highest, ratio.n) == (1, 1, 1, len(samples))


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    section = Section("s", "Title", "How.", (two_pairs(Target(at_least=0.98)),), ("A note.",))
    result = result_with(section)
    write_json(result, tmp_path / "result.json")
    assert read_json(tmp_path / "result.json") == result


def test_raw_samples_stand_in_the_file_in_the_order_of_the_turns(tmp_path: Path) -> None:
    write_json(result_with(Section("s", "Title", "How.", (two_pairs(),))), tmp_path / "r.json")
    (written,) = json.loads((tmp_path / "r.json").read_text())["sections"][0]["figures"]
    assert written["a_samples"] == [100.0, 50.0]
    assert written["b_samples"] == [50.0, 100.0]


def test_a_busy_machine_is_said_before_any_figure() -> None:
    busy = result_with(Section("s", "Title", "How.", (two_pairs(),), warnings=(OTHER_LOAD,)))
    assert busy.busy
    page = to_markdown(busy)
    assert page.index("busy machine") < page.index("| figure |")
    assert "other programs kept 1.6 cores busy" in page


def test_a_quiet_machine_is_not_called_busy() -> None:
    assert "busy machine" not in to_markdown(result_with(Section("s", "Title", "How.")))


def test_the_page_shows_both_sides_the_range_and_the_verdict() -> None:
    page = to_markdown(result_with(Section("s", "T", "H.", (two_pairs(Target(at_least=1.3)),))))
    (row,) = [line for line in page.splitlines() if line.startswith("| decode")]
    assert row == (
        "| decode | ours 75.0 tok/s | theirs 75.0 tok/s | **1.250** (0.500 to 2.000, 2) "
        "| ≥ 1.3 | missed |"
    )


def test_what_was_not_measured_says_why() -> None:
    page = to_markdown(result_with(Section("s", "T", "H.", skipped="GNU time is not installed")))
    assert "Not measured: GNU time is not installed." in page
    assert "| figure |" not in page
