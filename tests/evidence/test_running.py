"""Findings are kept, reused while nothing changed, and tried again where they were prevented."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from localprompt.errors import InputError
from localprompt.evidence.recipes import SMALLEST
from localprompt.evidence.running import EXPERIMENTS, choose
from localprompt.records.evidence import EvidenceReport, Finding
from tests.evidence.harness import TestBench


def found(bench: TestBench, *numbers: int, fresh: bool = False) -> list[tuple[int, bool]]:
    told: list[tuple[int, bool]] = []

    def tell(report: EvidenceReport, finding: Finding, reused: bool) -> None:
        assert report.findings[-1] == finding
        told.append((finding.number, reused))

    bench.run(choose(EXPERIMENTS, numbers), fresh=fresh, on_finding=tell)
    return told


def test_the_same_inputs_are_not_tried_twice(bench: TestBench) -> None:
    assert found(bench, 7, 10) == [(7, False), (10, False)]
    assert found(bench, 7, 10) == [(7, True), (10, True)]
    assert found(bench, 7, fresh=True) == [(7, False)]


def test_a_tuning_is_shared_by_all_that_need_it(bench: TestBench) -> None:
    found(bench, 1, 4, 6, 10)
    assert [str(request.name)[: -len("-12345678")] for request in bench.tuned] == [
        "small-evidence-sentiment-16",
        "small-evidence-sentiment-256",
    ]


def test_a_tuning_of_the_same_recipe_is_found_under_another_name(bench: TestBench) -> None:
    called = msgspec.structs.replace(SMALLEST, name="otherwise")
    with bench.lab() as lab:
        assert lab.tuned(SMALLEST) == lab.tuned(called)
        lab.tuned(msgspec.structs.replace(called, epochs=3))
    assert len(bench.tuned) == 2


def test_a_tuned_model_that_was_removed_is_made_again(bench: TestBench) -> None:
    found(bench, 1)
    next(bench.folder.glob("small-evidence-*.gguf")).unlink()
    found(bench, 1, fresh=True)
    assert len(bench.tuned) == 2


def test_what_was_prevented_is_tried_again(tmp_path: Path) -> None:
    bench = TestBench(tmp_path, trains=False)
    assert found(bench, 1) == [(1, False)]
    bench.trains = True
    assert found(bench, 1) == [(1, False)]
    assert found(bench, 1) == [(1, True)]


def test_the_plan_says_how_long_what_is_left_takes(bench: TestBench) -> None:
    chosen = choose(EXPERIMENTS, [1, 10])
    before = bench.plan(chosen)
    assert [p.expected_seconds > 0 for p in before.plans] == [True, True]
    # Both need the same tuning, which is counted once.
    assert before.plans[1].expected_seconds == chosen[1].seconds
    bench.run(chosen)
    assert [p.expected_seconds for p in bench.plan(chosen).plans] == [0, 0]


def test_all_of_it_is_planned_for_less_than_fifty_minutes(bench: TestBench) -> None:
    plans = bench.plan(EXPERIMENTS).plans
    assert sum(p.expected_seconds for p in plans) < 50 * 60


def test_a_number_that_is_none_of_the_ten_is_refused() -> None:
    with pytest.raises(InputError, match="--only"):
        choose(EXPERIMENTS, [1, 11])
