from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.engine.base import ChoiceScore
from localprompt.evaluate.answering import choose
from localprompt.records.evaluation import EvalResult, Scoring
from localprompt.records.score import CaseScore
from tests.evaluate.harness import Lab


def score(text: str, log_probability: float) -> ChoiceScore:
    return ChoiceScore(text, log_probability, n_tokens=1, n_bytes=len(text.encode()))


SHORT, LONG = score("no", -2.0), score("certainly", -4.5)


@pytest.mark.parametrize(
    ("scoring", "chosen"), [("raw", "no"), ("normalized", "certainly"), ("calibrated", "certainly")]
)
def test_each_way_of_scoring_takes_something_else_out(scoring: Scoring, chosen: str) -> None:
    habits = (score("no", -1.0), score("certainly", -6.0))
    text, shares = choose((SHORT, LONG), scoring, habits)
    assert text == chosen
    assert shares[text] == max(shares.values())


def test_shares_are_the_probabilities_among_the_choices() -> None:
    _, shares = choose((score("a", math.log(0.03)), score("b", math.log(0.01))), "raw")
    assert shares == {"a": pytest.approx(0.75), "b": pytest.approx(0.25)}


@given(st.lists(st.floats(-1e4, 0), min_size=1, max_size=9))
def test_shares_sum_to_one_however_improbable_the_choices_are(logs: list[float]) -> None:
    scores = [score(f"c{n}", value) for n, value in enumerate(logs)]
    text, shares = choose(scores, "raw")
    assert math.fsum(shares.values()) == pytest.approx(1)
    assert shares[text] == max(shares.values())


def answers(lab: Lab, result: EvalResult) -> list[str]:
    return [case.answer for case in lab.results(result)]


def test_choices_are_scored_by_log_probability_without_generating_anything(lab: Lab) -> None:
    lab.log_probability = lambda before, word: (
        -1.0 if (word == "good") == ("fine" in before) else -3.0
    )
    result = lab.evaluate("tones.yaml", choices=("good", "bad"))
    assert lab.asked == []
    assert answers(lab, result) == ["good", "bad", "good", "bad"]
    case = lab.results(result)[0]
    assert case.completion_tokens == 0
    assert case.probabilities is not None
    assert case.probabilities["good"] == pytest.approx(1 / (1 + math.exp(-2)))
    classification = result.targets[0].classification
    assert classification is not None
    assert classification.matrix == ((2, 1, 0), (0, 1, 0))
    assert classification.calibration is not None


def test_a_habit_of_the_model_is_taken_out_by_calibration(lab: Lab) -> None:
    def biased(before: str, word: str) -> float:
        fits = (word == "good") == ("fine" in before)
        return (-1.0 if word == "good" else -9.0) + (2.0 if fits and "N/A" not in before else 0.0)

    lab.log_probability = biased
    raw = lab.evaluate("tones.yaml", choices=("good", "bad"))
    calibrated = lab.evaluate("tones.yaml", choices=("good", "bad"), scoring="calibrated")
    assert answers(lab, raw) == ["good"] * 4
    assert answers(lab, calibrated) == ["good", "bad", "good", "bad"]


def test_a_case_with_other_words_around_it_gets_a_calibration_of_its_own(lab: Lab) -> None:
    lab.write(
        "around.yaml",
        "prompts: ['Good or bad? {{ text }}']\nproviders: [small]\ntests:\n"
        "- {vars: {text: fine}, assert: [{type: equals, value: good}]}\n"
        "- {vars: {text: fine}, options: {prefix: 'Politely. '},"
        " assert: [{type: equals, value: good}]}\n",
    )
    seen: list[str] = []

    def watched(before: str, word: str) -> float:
        seen.append(before)
        return -1.0 if (word == "good") == ("fine" in before) else -2.0

    lab.log_probability = watched
    result = lab.evaluate("around.yaml", choices=("good", "bad"), scoring="calibrated")
    assert answers(lab, result) == ["good", "good"]
    assert {before for before in seen if "N/A" in before} == {
        "Good or bad? N/A",
        "Politely. Good or bad? N/A",
    }


def test_a_schema_goes_before_choices(lab: Lab) -> None:
    from localprompt.evaluate.requests import scoring_of
    from localprompt.records.evaluation import EvalRequest
    from localprompt.records.prompt import PromptTemplate

    request = EvalRequest(suite="s", scoring="raw")
    closed = PromptTemplate(name="p", body="", choices=("a", "b"))
    assert scoring_of(closed, request) == "raw"
    assert scoring_of(PromptTemplate(name="p", body=""), request) == "generate"


def test_a_longer_case_than_the_context_was_made_for_gets_a_larger_one(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localprompt.evaluate.answering.LOOKED_AT", 1)
    rows = ["text,__expected", "fine,good", "fine,good", f"{'far ' * 1500}away,bad", "fine,good"]
    lab.write("cases.csv", "\n".join(rows))
    result = lab.evaluate("tones.yaml", parallel=2)
    assert answers(lab, result) == ["good", "good", "bad", "good"]
    assert result.targets[0].passes.errors == 0


def leans_to_good(before: str, word: str) -> float:
    fits = (word == "good") == ("fine" in before)
    return (-1.0 if word == "good" else -9.0) + (2.0 if fits else 0.0)


def test_a_habit_is_taken_out_by_its_mean_over_the_batch(lab: Lab) -> None:
    lab.log_probability = leans_to_good
    raw = lab.evaluate("tones.yaml", choices=("good", "bad"))
    batch = lab.evaluate("tones.yaml", choices=("good", "bad"), scoring="batch")
    assert answers(lab, raw) == ["good"] * 4
    assert answers(lab, batch) == ["good", "bad", "good", "bad"]
    assert batch.targets[0].passes.passed == 3
    assert batch.targets[0].passes.unscored == 0
    assert batch.targets[0].batch_bias == {"good": -4.0, "bad": 4.0}
    again = lab.evaluate("tones.yaml", choices=("good", "bad"))
    assert answers(lab, again) == ["good"] * 4  # what a batch chose is nobody else's answer


def test_a_batch_that_was_cut_off_is_weighed_when_it_is_whole(lab: Lab) -> None:
    lab.log_probability = leans_to_good
    planned = lab.plan("tones.yaml", choices=("good", "bad"), scoring="batch", cached=False)
    whole = lab.carry_out(planned)
    rows = lab.results(whole)
    lab.store.begin(msgspec.structs.replace(planned.evaluation, id="01" * 13))
    waiting = CaseScore(
        score=None, passed=None, reason="waits for the answers to all cases", scores=()
    )
    cut = [msgspec.structs.replace(row, score=waiting, answer="good") for row in rows[:3]]
    lab.store.add("01" * 13, cut)
    resumed = lab.resume("01" * 13)
    assert answers(lab, resumed) == ["good", "bad", "good", "bad"]
    assert resumed.targets[0].passes.unscored == 0


def test_a_prompts_own_bias_is_added_and_changes_the_key(lab: Lab) -> None:
    lab.log_probability = leans_to_good
    lab.write(
        "tone.prompty",
        "---\nname: tone\ninputs: [{name: text, kind: string}]\nmetadata: {localprompt: "
        "{choices: [good, bad], bias: {good: -4, bad: 4}}}\n---\nuser:\nGood or bad? {{ text }}\n",
    )
    cases = str(lab.folder / "cases.csv")
    lab.write("cases.csv", "text,expected\na fine day,good\na grey day,bad\n")
    biased = lab.evaluate("tone.prompty", cases=cases)
    assert answers(lab, biased) == ["good", "bad"]
    plain = (lab.folder / "tone.prompty").read_text().replace(", bias: {good: -4, bad: 4}", "")
    lab.write("tone.prompty", plain)
    assert answers(lab, lab.evaluate("tone.prompty", cases=cases)) == ["good", "good"]
