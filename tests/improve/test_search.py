"""Searches with an engine whose taste is known: it likes a cue, or nothing at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localprompt.errors import InputError
from localprompt.evaluate.models import Models
from localprompt.improve.judging import likelihood
from localprompt.improve.opening import open_search
from localprompt.improve.running import improve
from localprompt.records.evaluation import CaseResult
from localprompt.records.improvement import Improvement, ImproveRequest
from localprompt.records.score import CaseScore, Expectation
from localprompt.rendering.prompt import render_messages
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.suite.records import EvalCase
from tests.evaluate.harness import Lab, find_model

PROMPT = """---
name: tone
model: {options: {temperature: 0}}
inputs:
  - {name: text, kind: string, required: true}
metadata:
  localprompt:
    choices: [good, bad]
---
system:
Say good or bad.

user:
{{ text }}
Good or bad?
"""

RESULT = CaseResult(
    target=0,
    case_id="",
    case_index=0,
    repetition=0,
    vars={},
    answer="",
    score=CaseScore(None, None, "", ()),
)


def luck(text: str) -> float:
    """The same for the same text, between 0 and 1."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32


def likes_a_cue(before: str, word: str) -> float:
    """Right in 95 % after ``Tone:``, at random otherwise."""
    fits = (word == "good") == ("fine" in before.rsplit("Text:", 1)[-1])
    if before.rstrip().endswith("Tone:"):
        return -1.0 if fits == (luck(before) < 0.95) else -2.0
    return -1.0 if (word == "good") == (luck(before) < 0.5) else -2.0


def always_good(before: str, word: str) -> float:
    """Leans to good, but less where the text is grey: only a bias makes it right."""
    return (-1.0 if word == "good" else -5.0) + (2.5 if word == "bad" and "grey" in before else 0.0)


class Searched:
    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        lab.write("tone.prompty", PROMPT)
        lab.write(
            "cases.csv",
            "text,expected\n"
            + "".join(
                f"a {'fine' if at % 2 else 'grey'} day number {at},{'good' if at % 2 else 'bad'}\n"
                for at in range(160)
            ),
        )
        self.kept: list[Improvement] = []

    def run(
        self, taste: Callable[[str, str], float], earlier: Improvement | None = None, **asked: Any
    ) -> Improvement:
        self.lab.log_probability = taste
        request = ImproveRequest(
            prompt=str(self.folder / "tone.prompty"),
            cases=str(self.folder / "cases.csv"),
            model="small",
            **asked,
        )
        setting = open_search(request, find_model=find_model, earlier=earlier)
        with Models(self.lab.open_engine, keep=True) as models:
            return improve(
                setting, self.lab.store, models, keep=self.kept.append, find_model=find_model
            )


@pytest.fixture
def searched(tmp_path: Path) -> Iterator[Searched]:
    with Lab(tmp_path, lambda prompt: "good") as lab:
        yield Searched(lab, tmp_path)


def test_a_better_wording_is_found_proved_and_written(searched: Searched) -> None:
    output = searched.folder / "better.prompty"
    found = searched.run(likes_a_cue, output=str(output))
    assert found.final is not None
    assert found.final.shown
    assert found.final.test == "exact McNemar"
    winner = found.trial(found.winner)
    assert winner is not None
    assert "cue 'Tone:'" in winner.wording
    written = load_prompt(output)
    assert written.name == "better"
    assert written.choices == ("good", "bad")
    assert written.metadata["localprompt"]["improved"]["parent_sha256"] == found.prompt_sha256
    text = render_messages(written, {"text": "a fine day"})[-1].text
    assert text.endswith("Tone:")
    assert all(flip.answer_before != flip.answer_after for flip in found.final.flips)


def test_where_nothing_can_be_gained_it_says_so_and_writes_nothing(searched: Searched) -> None:
    output = searched.folder / "better.prompty"
    found = searched.run(lambda before, word: -1.0, output=str(output))
    assert found.final is not None
    assert not found.final.shown
    assert found.output is None
    assert not output.exists()


def test_the_final_part_is_asked_once_by_two_prompts_and_only_at_the_end(
    searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    from localprompt.improve.asking import Asker

    asked: list[tuple[str, frozenset[str]]] = []
    ask = Asker.ask

    def watched(self: Asker, template: Any, cases: Any) -> Any:
        asked.append((template.sha256, frozenset(case.id for case in cases)))
        return ask(self, template, cases)

    monkeypatch.setattr(Asker, "ask", watched)
    found = searched.run(likes_a_cue)
    setting = open_search(found.request, find_model=find_model)
    final = {case.id for case in setting.parts.final}
    touching = [at for at, (_, ids) in enumerate(asked) if ids & final]
    assert touching == [len(asked) - 2, len(asked) - 1]
    assert asked[-1][0] != asked[-2][0]


def test_a_bias_alone_is_found_where_the_model_always_says_one_word(searched: Searched) -> None:
    output = searched.folder / "better.prompty"
    found = searched.run(always_good, search=("scoring",), output=str(output))
    assert found.final is not None
    assert found.final.after == 1.0
    written = load_prompt(output)
    assert set(written.bias) == {"good", "bad"}
    assert written.bias["bad"] > written.bias["good"]
    assert written.body.strip() == load_prompt(searched.folder / "tone.prompty").body.strip()


def test_a_second_search_takes_every_answer_from_the_first(searched: Searched) -> None:
    first = searched.run(likes_a_cue)
    again = searched.run(likes_a_cue, earlier=first)
    assert again.id == first.id
    assert again.cached == again.evaluations == first.evaluations
    assert again.tokens == 0
    assert again.winner == first.winner


def test_a_search_does_not_go_on_with_other_cases(searched: Searched) -> None:
    first = searched.run(likes_a_cue)
    with (searched.folder / "cases.csv").open("a") as file:
        file.write("one more fine day,good\n")
    with pytest.raises(InputError, match="the cases changed since this search began"):
        open_search(first.request, earlier=first, find_model=find_model)


def test_a_spent_budget_ends_the_search_and_not_the_proof(searched: Searched) -> None:
    found = searched.run(likes_a_cue, max_evaluations=200)
    assert found.stopped == "200 evaluations"
    assert found.final is not None
    assert found.evaluations < 500


def test_racing_asks_about_a_third_of_the_full_grid(searched: Searched) -> None:
    found = searched.run(likes_a_cue)
    assert found.full_grid > 1000
    assert found.raced <= 0.4 * found.full_grid


def test_a_candidate_above_the_bound_of_tokens_is_given_up(searched: Searched) -> None:
    found = searched.run(likes_a_cue, max_prompt_tokens=20)
    given_up = [trial for trial in found.trials if "allowed are 20" in (trial.out or "")]
    assert any("examples" in trial.examples for trial in given_up)
    winner = found.trial(found.winner)
    assert winner is not None
    assert winner.prompt_tokens is not None
    assert winner.prompt_tokens <= 20


def test_an_existing_output_is_refused_before_anything_is_asked(searched: Searched) -> None:
    output = searched.lab.write("better.prompty", "mine")
    with pytest.raises(InputError, match="the file exists already"):
        searched.run(likes_a_cue, output=str(output))
    assert output.read_text() == "mine"


def test_an_unknown_metric_is_refused_with_those_there_are(searched: Searched) -> None:
    with pytest.raises(InputError, match="no metric of that name") as caught:
        searched.run(likes_a_cue, metric="bleu")
    assert caught.value.expected == "pass, score, macro_f1, fields"


def test_a_label_that_is_not_a_choice_is_refused_with_its_line(searched: Searched) -> None:
    path = searched.folder / "cases.csv"
    usual = path.read_text().replace("text,expected", "text,__expected")
    path.write_text(f"{usual}a so-so day,neutral\nanother one,Good\n")
    with pytest.raises(InputError, match="not one of the choices") as caught:
        searched.run(likes_a_cue)
    assert caught.value.where == f"{path}:162"
    assert caught.value.found == "'neutral', and 1 more"


def test_macro_f1_is_proved_by_swapping_answers(searched: Searched) -> None:
    found = searched.run(likes_a_cue, metric="macro_f1")
    assert found.final is not None
    assert found.final.test == "swap permutation"
    assert found.final.shown


def test_a_record_survives_the_history(searched: Searched) -> None:
    found = searched.run(likes_a_cue)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Improvement) == found


def test_a_case_that_does_not_fit_with_examples_gives_up_the_candidate_and_not_the_search(
    searched: Searched,
) -> None:
    searched.lab.n_ctx_train = 60
    found = searched.run(likes_a_cue)
    assert any("does not fit into the context" in (trial.out or "") for trial in found.trials)
    assert found.final is not None
    assert found.final.shown


def test_a_judge_is_allowed_and_said(searched: Searched) -> None:
    searched.lab.write(
        "cases.csv",
        "text,__expected\n"
        + "".join(f"a fine day number {at},llm-rubric: is it kind?\n" for at in range(40)),
    )
    request = ImproveRequest(
        prompt=str(searched.folder / "tone.prompty"),
        cases=str(searched.folder / "cases.csv"),
        model="small",
    )
    with pytest.raises(InputError, match="same answer"):
        open_search(request, find_model=find_model)
    searched.lab.write("tone.prompty", PROMPT.replace("choices: [good, bad]", "x: 1"))
    setting = open_search(request, find_model=find_model)
    assert any("grades every answer" in note for note in setting.improvement.notes)


def test_of_two_that_hit_alike_the_surer_one_is_ahead() -> None:
    """Both are right in three of four; one was nearly right in the fourth."""
    cases = [
        EvalCase(id=str(at), index=at, vars={}, expectations=(Expectation("equals", label),))
        for at, label in enumerate(["a", "b"] * 20)
    ]

    def answers(missed: float) -> dict[str, CaseResult]:
        found = {}
        for at, case in enumerate(cases):
            right, wrong = ("a", "b") if at % 2 == 0 else ("b", "a")
            logs = {right: -0.5, wrong: -1.5} if at % 4 else {right: -0.5 - missed, wrong: -0.5}
            found[case.id] = msgspec.structs.replace(RESULT, log_probabilities=logs)
        return found

    near, far = (likelihood(cases, answers(missed), "pass") for missed in (0.1, 3.0))
    assert near is not None
    assert far is not None
    assert far < near < 0
    assert likelihood(cases, answers(0.1), "score") is None


def test_a_case_that_failed_counts_against_a_candidate() -> None:
    cases = [
        EvalCase(id=str(at), index=at, vars={}, expectations=(Expectation("equals", label),))
        for at, label in enumerate("ab" * 10)
    ]
    whole = {
        case.id: msgspec.structs.replace(RESULT, log_probabilities={"a": -1.0, "b": -1.0})
        for case in cases
    }
    broken = whole | {"3": RESULT}
    one, other = likelihood(cases, whole, "pass"), likelihood(cases, broken, "pass")
    assert one is not None
    assert other is not None
    assert one > other
