"""The figures of the memory benchmark, without running a model."""

from __future__ import annotations

import pytest

from benchmarks.memory_prediction import Result, Row, as_json, combinations, markdown, verdict
from tests.sample_runs import make_run


def row(predicted: int, measured: int, **changes: object) -> Row:
    plain = Row("tiny", "Q4_1", 512, "f16", True, 184, 30, predicted, measured)
    import msgspec

    return msgspec.structs.replace(plain, **changes)


def result(*rows: Row) -> Result:
    return Result("2026-11-22T20:00:00+00:00", make_run().machine, 0.05, rows)


def test_sizes_beyond_the_training_are_cut_and_asked_once() -> None:
    found = list(combinations((512, 2048, 8192), 2048))
    assert [n_ctx for n_ctx, _, _ in found] == [512] * 4 + [2048] * 4
    assert set(found[:4]) == {
        (512, kv, use_mmap) for kv in ("f16", "q8_0") for use_mmap in (True, False)
    }


def test_the_error_has_a_sign_and_the_largest_counts_either_way() -> None:
    low, high = row(96, 100), row(102, 100)
    assert [low.error, high.error] == pytest.approx([-0.04, 0.02])
    both = result(low, high, row(101, 100))
    assert both.largest_error == pytest.approx(0.04)
    assert both.median_error == pytest.approx(0.02)
    assert as_json(both)["rows"][0]["error"] == low.error


def test_a_missed_target_is_said() -> None:
    assert verdict(result(row(94, 100))).endswith("target: at most 5%, missed")
    assert verdict(result(row(96, 100))).endswith("target: at most 5%, met")


def test_the_page_has_a_row_for_each_process() -> None:
    page = markdown(result(row(94, 100), row(96, 100, use_mmap=False)))
    assert page.startswith("# Predicted and measured peak memory, 2026-11-22\n")
    assert "| tiny | Q4_1 | 512 | f16 | on | 184 | 94 B | 100 B | -6.0% |" in page
    assert "| off | 184 | 96 B | 100 B | -4.0% |" in page
