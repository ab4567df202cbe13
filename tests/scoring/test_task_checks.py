"""The metrics of lm-evaluation-harness, each with an answer that only its own rule gets right."""

from __future__ import annotations

from typing import Any

import pytest

from localprompt.records.score import Answer, Expectation
from localprompt.scoring.score import score

CHOICES = ("yes", "certainly not", "no", "Übung")
LOGS = {"yes": -4.0, "certainly not": -9.0, "no": -4.0, "Übung": -4.5}


def scored(metric: str, value: Any, answer: Answer | None = None, **config: Any) -> float | None:
    given = answer or Answer("yes", choices=CHOICES, log_probabilities=LOGS, greedy=("no",))
    return score(given, Expectation(metric, value, config=config)).score


def test_acc_takes_the_most_probable_choice_and_the_first_of_equals() -> None:
    assert scored("acc", 0) == 1
    assert scored("acc", 2) == 0, "as probable, but second"


def test_acc_norm_goes_by_characters_and_acc_bytes_by_bytes() -> None:
    # Per character -1.33, -0.692, -2, -0.9; per byte -0.75 for Übung, which has six.
    logs = {"certainly not": -11.0, "Übung": -4.5, "yes": -4.0}
    answer = Answer("", choices=("certainly not", "Übung", "yes"), log_probabilities=logs)
    assert scored("acc_norm", 0, answer) == 1
    assert scored("acc_bytes", 1, answer) == 1


def test_one_of_several_right_choices_is_enough() -> None:
    assert scored("acc", [2, 0]) == 1
    assert scored("acc", [1, 3]) == 0


def test_exact_match_of_choices_asks_what_the_model_would_write() -> None:
    assert scored("exact_match", 2) == 1
    assert scored("exact_match", 0) == 0


def test_acc_of_one_text_asks_the_same() -> None:
    def one(greedy: tuple[str, ...]) -> Answer:
        return Answer(" mat", choices=(" mat",), log_probabilities={" mat": -2.5}, greedy=greedy)

    assert scored("acc", 0, one((" mat",))) == 1
    assert scored("acc", 0, one(())) == 0
    assert scored("perplexity", 0, one(())) == -2.5


@pytest.mark.parametrize(
    ("filters", "text", "right"),
    [
        ([{"function": "take_first"}], " 7", " 7"),
        ([{"function": "remove_whitespace"}], " 7\n", "7"),
        ([{"function": "lowercase"}, {"function": "take_first"}], "Ja", "ja"),
        ([{"function": "regex"}], "so #### 1,234 it is", "1,234"),
        ([{"function": "regex", "regex_pattern": r"(\d+)", "group_select": -1}], "3 and 4", "4"),
        ([{"function": "regex", "regex_pattern": "(a)|(b)"}], "xb", "b"),
        ([{"function": "regex", "regex_pattern": r"(\d)"}], "none", "[invalid]"),
        ([{"function": "map", "mapping_dict": {"A": "1"}, "default_value": "?"}], "A", "1"),
    ],
)
def test_filters_leave_what_lm_eval_leaves(filters: Any, text: str, right: str) -> None:
    assert scored("exact_match", [right], Answer(text), filters=filters) == 1


def test_exact_match_passes_over_what_it_is_told_to() -> None:
    answer = Answer("The Answer, 12!")
    assert scored("exact_match", ["the answer"], answer) == 0
    assert (
        scored(
            "exact_match",
            ["answer"],
            answer,
            ignore_case=True,
            ignore_punctuation=True,
            ignore_numbers=True,
            regexes_to_ignore=["^[Tt]he ", " 12"],
        )
        == 1
    )


def test_a_pattern_that_would_run_for_ever_leaves_the_answer_unscored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("localprompt.scoring.task_checks.PATTERN_SECONDS", 0.5)
    filters = [{"function": "regex", "regex_pattern": "(a+)+$"}]
    result = score(
        Answer("a" * 40 + "b"), Expectation("exact_match", ["x"], config={"filters": filters})
    )
    assert result.passed is None
    assert "took longer" in result.reason
