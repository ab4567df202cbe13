"""What a search may cost, as its pace foretells."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest

from localprompt.improve.budget import Budget, BudgetSpentError
from localprompt.records.improvement import ImproveRequest


@pytest.fixture
def asker() -> Any:
    return SimpleNamespace(evaluations=0, cached=0, tokens=0)


def opened(asker: Any, **limits: Any) -> Budget:
    return Budget(ImproveRequest(prompt="p", **limits), cast("Any", asker))


def test_seven_tenths_of_the_evaluations_are_for_searching(asker: Any) -> None:
    budget = opened(asker, max_evaluations=100)
    asker.evaluations = 30
    assert budget.cases_left() == pytest.approx(40)
    assert budget.has_room(40, 1.0)
    assert not budget.has_room(41, 1.0)
    assert budget.has_room(5, 0.5)
    assert not budget.has_room(6, 0.5)
    with pytest.raises(BudgetSpentError, match="100 evaluations"):
        budget.check(41)


def test_minutes_are_foretold_from_the_pace_once_there_is_one(
    asker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("localprompt.improve.budget.time.monotonic", lambda: clock[0])
    budget = opened(asker, minutes=10)  # 420 s for searching
    asker.evaluations, clock[0] = 10, 30.0
    assert budget.has_room(1_000, 1.0)  # of ten answers the opening of the model is most
    asker.evaluations, clock[0] = 100, 60.0
    assert budget.has_room(599, 1.0)
    assert not budget.has_room(601, 1.0)
    assert budget.cases_left() == pytest.approx(600)
    budget.check(10_000)  # how long they will take is not known for sure
    clock[0] = 421.0
    assert budget.cases_left() == 0
    with pytest.raises(BudgetSpentError, match="10 minutes"):
        budget.check(1)


def test_the_tightest_limit_is_named(asker: Any) -> None:
    budget = opened(asker, max_evaluations=1_000, max_tokens=5_000)
    asker.evaluations, asker.tokens = 100, 4_000
    assert budget.limit == "5,000 tokens"
    assert opened(asker).cases_left() == math.inf
    assert opened(asker).has_room(10**9, 0.1)
