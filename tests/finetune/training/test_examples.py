"""The answers that a model is trained to give are those that eval takes as right."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from localprompt.finetune.training.examples import Tokenizer, read_examples
from localprompt.records.prompt import PromptTemplate
from localprompt.records.score import Answer, Expectation
from localprompt.scoring.score import score


class ByWords:
    """Tokens are of no interest here."""

    end_id = 0

    def encode(self, messages: Any) -> Any:
        return messages

    def with_choices(self, prompt: Any, choices: Any) -> Any:
        return SimpleNamespace(token_ids=(1,), choices=(SimpleNamespace(token_ids=(2,)),))


def answer_to(folder: Path, expected: object) -> str:
    path = folder / "rows.jsonl"
    path.write_text(json.dumps({"text": "x", "expected": expected}), encoding="utf-8")
    template = PromptTemplate(name="p", body="user:\n{{ text }}")
    (example,) = read_examples(path, template, cast("Tokenizer", ByWords()))
    return example.answer


@pytest.mark.parametrize("expected", [True, False, 3, 2.5, 4.0, 1e20, "yes"])
def test_a_model_learns_the_answer_that_eval_takes(tmp_path: Path, expected: object) -> None:
    taught = Answer(answer_to(tmp_path, expected))
    assert score(taught, Expectation("equals", expected)).passed is True
