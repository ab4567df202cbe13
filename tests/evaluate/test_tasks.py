"""Tasks of lm-evaluation-harness through the same plan, store and sums as suites."""

from __future__ import annotations

import math

import pytest

from localprompt.errors import InputError
from localprompt.evaluate.received import Received
from tests.evaluate.harness import Lab

TASK = """
task: tones
dataset_path: csv
dataset_kwargs: {data_files: {test: tones.csv}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{text}} is"
doc_to_choice: [bad, good]
doc_to_target: label
metric_list: [{metric: acc}, {metric: acc_norm}, {metric: f1}]
"""
ROWS = "text,label\na fine day,1\na grey day,0\na fine meal,1\na grey soup,1\n"
WORDS = """
task: words
dataset_path: json
dataset_kwargs: {data_files: {test: words.jsonl}}
test_split: test
output_type: loglikelihood
doc_to_text: "{{before}}"
doc_to_target: "{{after}}"
"""


@pytest.fixture
def tones(lab: Lab) -> Lab:
    lab.write("task.yaml", TASK)
    lab.write("tones.csv", ROWS)
    lab.log_probability = lambda before, word: (
        -1.0 if ("fine" in before) == ("good" in word) else -3
    )
    return lab


def test_choices_are_weighed_behind_the_text_and_nothing_is_generated(tones: Lab) -> None:
    result = tones.evaluate("task.yaml", models=("small",))
    (summary,) = result.targets
    assert tones.asked == []
    assert [case.answer for case in tones.results(result)] == ["good", "bad", "good", "bad"]
    assert (summary.passes.passed, summary.passes.failed) == (3, 1)
    assert summary.metrics["acc"].mean == 0.75
    assert summary.metrics["f1"].mean == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert summary.classification is not None
    assert [one.type for one in summary.assertions] == ["acc"], "the others only record"


def test_answers_are_taken_over_with_all_that_their_metrics_need(tones: Lab) -> None:
    tones.write("task.yaml", TASK.replace("{metric: f1}", "{metric: exact_match}"))
    first = tones.evaluate("task.yaml", models=("small",))
    again = tones.evaluate("task.yaml", models=("small",))
    assert again.targets[0].cached == 4
    assert again.targets[0].metrics == first.targets[0].metrics
    assert again.targets[0].metrics["exact_match"].mean == 0.75


def test_what_the_model_received_is_the_text_without_a_chat_template(tones: Lab) -> None:
    result = tones.evaluate("task.yaml", models=("small",))

    with Received(result.evaluation, tones.open_engine) as received:
        assert received.text(tones.results(result)[0]) == "a fine day is"
        assert received.exact(0)


def test_the_perplexity_of_right_texts_is_not_the_mean_of_their_logarithms(lab: Lab) -> None:
    lab.write("task.yaml", WORDS)
    lab.write("words.jsonl", '{"before": "a", "after": " b"}\n{"before": "a", "after": " c"}\n')
    lab.log_probability = lambda before, word: -1.0 if "b" in word else -3.0
    result = lab.evaluate("task.yaml", models=("small",))
    assert result.targets[0].metrics["perplexity"].mean == pytest.approx(math.exp(2))
    assert result.targets[0].passes.passed == 2


def test_a_part_of_the_cases_has_the_examples_of_the_whole(tones: Lab) -> None:
    tones.write("task.yaml", f"{TASK}fewshot_split: test\nnum_fewshot: 1\n")
    whole = tones.results(tones.evaluate("task.yaml", models=("small",)))
    part = tones.results(tones.evaluate("task.yaml", models=("small",), limit=2, shuffle=True))
    prefixes = {case.case_index: case.prefix for case in whole}
    assert all(prefixes[case.case_index] == case.prefix for case in part)


@pytest.mark.parametrize("request_", [{"choices": ("a", "b")}, {"scoring": "batch"}])
def test_how_choices_are_made_is_the_tasks_to_say(tones: Lab, request_: dict[str, object]) -> None:
    with pytest.raises(InputError, match="a task says itself"):
        tones.evaluate("task.yaml", models=("small",), **request_)
