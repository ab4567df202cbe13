from __future__ import annotations

import json
import re
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import Localprompt

SUITE = """
prompts:
- {id: "Is this good or bad? {{ text }}", label: ask}
- {id: "One word, good or bad: {{ text }}", label: word}
providers: [smollm2-135m]
tests: file://cases.csv
"""
CASES = """text,__expected
A lovely sunny day.,good
The soup was cold and the waiter rude.,bad
I broke my leg.,bad
"""
QUICK = ("--choices", "good,bad", "--threads", "1", "-q")


@pytest.fixture
def suite(starter_model: Path, tmp_path: Path) -> str:
    (tmp_path / "cases.csv").write_text(CASES, encoding="utf-8")
    path = tmp_path / "tones.yaml"
    path.write_text(SUITE, encoding="utf-8")
    return str(path)


@pytest.mark.model
def test_a_suite_is_evaluated_shown_compared_and_held_to_thresholds(
    localprompt: Localprompt, suite: str
) -> None:
    first = localprompt("eval", suite, *QUICK, "-f", "json")
    assert first.code == 0, first.err
    found = json.loads(first.out)
    assert {case["answer"] for case in found["results"]} <= {"good", "bad"}
    assert len(found["results"]) == 6
    assert found["uses"][0]["answered"] == 6

    again = localprompt("eval", suite, *QUICK, "--fail-if", "pass_rate < 101%")
    assert again.code == 1
    assert "6 answers were reused" in re.sub(r"\s+", " ", again.out)
    assert "pass_rate < 101%" in again.err

    compared = localprompt("compare", "last~1", "last")
    assert compared.code == 0, compared.err
    assert "B repaired 0 and broke 0" in compared.out

    evaluation = found["evaluation"]["id"]
    shown = localprompt("runs", "show", evaluation)
    assert "tones: 3 cases, 2 targets" in shown.out
    assert "tones: 3 cases, 2 targets" in localprompt("runs", "show", "last").out
    failures = localprompt("runs", "show", "last", "--failures")
    failed = sum(not case["score"]["passed"] for case in found["results"])
    assert failures.out.count("failed  ") == failed


@pytest.mark.model
def test_workers_answer_as_this_process_does_and_are_gone_afterwards(
    localprompt: Localprompt, suite: str
) -> None:
    alone = localprompt("eval", suite, *QUICK, "-f", "json")
    before = psutil.Process().children(recursive=True)
    worked = localprompt("eval", suite, *QUICK, "--workers", "1", "--no-cache", "-f", "json")
    assert worked.code == 0, worked.err
    ours, theirs = (json.loads(one.out) for one in (alone, worked))
    assert [r["answer"] for r in theirs["results"]] == [r["answer"] for r in ours["results"]]
    assert {use["hand"] for use in theirs["uses"]} == {"worker 1"}
    assert all(use["settings"]["n_threads"] == 1 for use in theirs["uses"])
    assert set(psutil.Process().children(recursive=True)) <= set(before)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("--workers", "100000"), "more workers than cores"),
        (("--workers", "1", "--cluster", "tcp://127.0.0.1:1"), "workers are processes"),
        (("--workers", "0"), "--workers"),
    ],
)
def test_workers_that_cannot_be_are_refused_before_anything_is_read(
    localprompt: Localprompt, typed: tuple[str, ...], said: str
) -> None:
    refused = localprompt("eval", "nowhere.yaml", *typed)
    assert refused.code == 2
    assert said in refused.err


def test_wrong_words_are_told_before_a_model_is_opened(
    localprompt: Localprompt, tmp_path: Path
) -> None:
    assert localprompt("eval").fields()["error"] == "nothing to evaluate"
    missing = localprompt("eval", "nowhere.yaml")
    assert (missing.code, missing.fields()["error"]) == (2, "no such suite")
    scoring = localprompt("eval", "nowhere.yaml", "--scoring", "guess")
    assert scoring.code == 2
    condition = localprompt("eval", "nowhere.yaml", "--fail-if", "better")
    assert (condition.code, condition.fields()["where"]) == (2, "--fail-if")
    resumed = localprompt("eval", "--resume", "last")
    assert resumed.code == 2
    assert "there is no 'last': no evaluation is recorded yet" in resumed.err


def test_services_are_refused_with_the_list(localprompt: Localprompt, tmp_path: Path) -> None:
    path = tmp_path / "foreign.yaml"
    path.write_text(
        "prompts: ['{{ text }}']\nproviders: ['openai:gpt-5', 'anthropic:claude']\n"
        "tests: [{vars: {text: hi}}]\n",
        encoding="utf-8",
    )
    refused = localprompt("eval", str(path))
    assert refused.code == 2
    assert refused.fields()["found"] == "openai:gpt-5, anthropic:claude"
    assert "-m" in refused.fields()["try"]


@pytest.mark.slow
@pytest.mark.model
def test_choices_are_scored_and_not_generated_unless_asked_for(
    localprompt: Localprompt, suite: str
) -> None:
    scored = json.loads(localprompt("eval", suite, *QUICK, "-f", "json").out)
    assert all(set(case["probabilities"]) == {"good", "bad"} for case in scored["results"])
    assert all(case["completion_tokens"] == 0 for case in scored["results"])
    written = json.loads(
        localprompt("eval", suite, *QUICK, "--scoring", "generate", "-f", "json").out
    )
    assert all(case["probabilities"] is None for case in written["results"])
    assert all(case["completion_tokens"] > 0 for case in written["results"])
