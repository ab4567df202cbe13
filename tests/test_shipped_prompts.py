"""The prompts that ship are clean, run on any model, and have cases that a suite can read."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from localprompt import paths
from localprompt.records.cell import Cell
from localprompt.records.model import ModelRecord
from localprompt.records.run import RequestedSettings, Sampling
from localprompt.rendering.prompt import render_messages
from localprompt.running.preview import receive
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.prompt.lint import lint
from localprompt.sources.prompt.params import required_inputs
from localprompt.sources.rows import Cases
from localprompt.sources.suite.prompty import suite_from_prompt

PATHS = sorted(paths.shipped("prompts").glob("*.prompty"))
every_prompt = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def test_the_prompts_that_were_promised_are_there() -> None:
    assert {path.stem for path in PATHS} >= {
        "answer-from-context",
        "classify-sentiment",
        "classify-sentiment-few-shot",
        "explain",
        "extract-contact",
        "long-instructions",
        "rewrite",
        "summarize",
        "translate",
    }


@every_prompt
def test_a_shipped_prompt_has_no_findings_and_names_no_model(path: Path) -> None:
    template = load_prompt(path)
    assert lint(path) == ()
    assert template.name == path.stem
    assert template.description
    assert template.model_id is None
    assert required_inputs(template)
    assert all(spec.description for spec in template.inputs)


@every_prompt
def test_its_cases_are_beside_it_and_can_be_evaluated(path: Path) -> None:
    template = load_prompt(path)
    assert template.cases is not None
    suite = suite_from_prompt(template)
    assert 10 <= suite.counts.cases <= 30
    assert suite.counts.skipped_rows == 0
    for case in suite.open_cases():
        assert case.expectations
        assert render_messages(template, case.vars)


@every_prompt
def test_no_case_stands_in_the_prompt_as_an_example(path: Path) -> None:
    template = load_prompt(path)
    assert template.cases is not None
    longest = [max(map(str, case.values.values()), key=len) for case in Cases(template.cases)]
    assert not [text for text in longest if text in template.body]
    assert len(set(longest)) > len(longest) / 4


@every_prompt
def test_the_list_of_prompts_names_it(path: Path) -> None:
    assert f"| `{path.stem}` |" in (path.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["classify-sentiment", "classify-sentiment-few-shot"])
def test_sentiments_are_balanced_and_shared_so_that_prompts_can_be_paired(name: str) -> None:
    template = load_prompt(paths.shipped("prompts") / f"{name}.prompty")
    assert template.cases is not None
    assert Path(template.cases).name == "classify-sentiment.jsonl"
    rows = [json.loads(line) for line in Path(template.cases).read_text("utf-8").splitlines()]
    said = [row["expected"] for row in rows]
    assert said.count("positive") == said.count("negative")
    assert set(said) == set(template.choices)


@pytest.mark.model
def test_long_instructions_are_long_and_the_same_in_every_run(starter_model: Path) -> None:
    template = load_prompt(paths.shipped("prompts") / "long-instructions.prompty")
    assert template.cases is not None
    with Path(template.cases).open(encoding="utf-8", newline="") as file:
        reviews = [row["review"] for row in csv.DictReader(file)]
    model = ModelRecord(name="smollm2-135m", path=str(starter_model))
    for review in reviews[:2]:
        params = {"review": review}
        cell = Cell("run", model, template, params, Sampling(), RequestedSettings())
        prompt = receive(cell)
        assert prompt.constant_tokens >= 450
        assert len(prompt.tokens) - prompt.constant_tokens < 60
