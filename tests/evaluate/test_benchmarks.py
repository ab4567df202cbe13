"""The suites that come with the package, planned with a scripted engine."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from localprompt.evaluate.loading import open_suite
from localprompt.evaluate.planning import plan_evaluation
from localprompt.records.evaluation import EvalRequest
from tests.evaluate.harness import find_model

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SUITES = {"sentiment": 120, "closed-questions": 104, "orders": 120}


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_has_as_many_cases_as_its_description_says(name: str) -> None:
    suite = open_suite(EvalRequest(suite=f"benchmarks/{name}.yaml"))
    planned = plan_evaluation(suite, EvalRequest(suite=suite.path), find_model=find_model)
    assert planned.evaluation.cases == SUITES[name] >= 100
    text = (BENCHMARKS / f"{name}.yaml").read_text(encoding="utf-8")
    assert f"# {SUITES[name]} " in text
    readme = (BENCHMARKS / "datasets/README.md").read_text(encoding="utf-8")
    assert re.search(rf"\| {SUITES[name]} \|", readme)


def test_reviews_are_balanced_and_no_two_are_alike() -> None:
    cases = list(open_suite(EvalRequest(suite="benchmarks/sentiment.yaml")).cases())
    labels = [getattr(case.expectations[0], "value", None) for case in cases]
    assert labels.count("positive") == labels.count("negative") == 60
    assert len({case.vars["review"] for case in cases}) == 120


def test_the_fields_of_every_order_stand_in_its_message() -> None:
    lines = (BENCHMARKS / "datasets/orders.jsonl").read_text(encoding="utf-8").splitlines()
    for line in lines:
        fields = json.loads(line)["vars"]
        message = fields.pop("message")
        assert all(str(value) in message for value in fields.values()), message
