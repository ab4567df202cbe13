"""What a prompt costs to use, and the bounds on it."""

from __future__ import annotations

from typing import Any

from localprompt.evaluate.models import Models
from localprompt.improve.costs import Cost
from localprompt.improve.opening import open_search
from localprompt.improve.running import improve
from localprompt.records.improvement import Improvement, ImproveRequest, frontier
from localprompt.records.prompt import PromptTemplate
from tests.evaluate.harness import Lab, find_model
from tests.improve.test_search import Searched, likes_a_cue, searched

__all__ = ["searched"]


def slow_with_a_cue(template: PromptTemplate, params: dict[str, Any]) -> Cost | None:
    return Cost(2.0 if "Tone:" in template.body else 0.5, 100)


def run(searched: Searched, **asked: Any) -> Improvement:
    lab: Lab = searched.lab
    lab.log_probability = likes_a_cue
    request = ImproveRequest(
        prompt=str(searched.folder / "tone.prompty"),
        cases=str(searched.folder / "cases.csv"),
        model="small",
        search=("wordings", "scoring"),
        **asked,
    )
    setting = open_search(request, find_model=find_model)
    with Models(lab.open_engine, keep=True) as models:
        return improve(
            setting,
            lab.store,
            models,
            keep=lambda _: None,
            find_model=find_model,
            measure_cost=slow_with_a_cue,
        )


def test_finalists_have_a_measured_cost_and_form_a_frontier(searched: Searched) -> None:
    found = run(searched)
    winner, original = found.trial(found.winner), found.trial(found.original)
    assert winner is not None
    assert original is not None
    assert (winner.ttft_seconds, original.ttft_seconds) == (2.0, 0.5)
    best = [trial for trial in found.trials if trial.key in frontier(found.trials)]
    assert {trial.ttft_seconds for trial in best} <= {0.5, 2.0}
    scores = [t.selection.value for t in found.trials if t.selection is not None]
    assert max(scores) in {t.selection.value for t in best if t.selection is not None}


def test_a_candidate_that_is_too_slow_does_not_win(searched: Searched) -> None:
    found = run(searched, max_ttft_seconds=1.0)
    winner = found.trial(found.winner)
    assert winner is not None
    assert "Tone:" not in winner.body
    assert any(t.out == "TTFT 2.00 s, allowed are 1" for t in found.trials)
