"""Experiment 7: the same questions, with the domain's text in the prompt and without it.

Half of the questions are about what any textbook of the trade says, half about rules of one
invented house, which no model can know.
"""

from __future__ import annotations

import msgspec

from localprompt.evidence import data
from localprompt.evidence.experiment import Outcome
from localprompt.evidence.figures import gain, score
from localprompt.evidence.lab import Answers, Lab
from localprompt.evidence.searching import SearchPlan
from localprompt.evidence.tuning import TuningPlan
from localprompt.records.evidence import Condition, Figure, Group, Note, Rule

CASES = "domain.csv"
WITH, WITHOUT = "domain-with-text", "domain-without-text"
_KIND = "__description"


class Domain:
    number = 7
    name = "domain"
    edition = 1
    rule = Rule(
        supported=(Condition("gain_with_text", "low", ">", 0),),
        refuted=(Condition("gain_with_text", "high", "<", 0),),
    )
    seconds = 45.0
    tunings: tuple[TuningPlan, ...] = ()
    searches: tuple[SearchPlan, ...] = ()

    def inputs(self, lab: Lab) -> dict[str, str]:
        files = (data.dataset(CASES), data.prompt(WITH), data.prompt(WITHOUT))
        return {"data": data.digest(*files)}

    def run(self, lab: Lab) -> Outcome:
        cases = data.dataset(CASES)
        rows = data.read_rows(cases)
        kinds = [row[_KIND] for row in rows]
        bare = data.write_rows(lab.folder / "domain-bare.csv", data.without(rows, "domain"))
        lab.step("questions without the text")
        without = lab.ask(data.prompt(WITHOUT), bare)
        lab.step("the same questions with the text")
        given = lab.ask(data.prompt(WITH), cases)
        return Outcome(
            figures=(
                gain("gain_with_text", without.passed, given.passed),
                score("score_without_text", without),
                score("score_with_text", given),
            ),
            groups=(Group("by_kind", tuple(_by_kind(kinds, without, given))),),
            notes=(Note("domain_prompt_tokens", _tokens(without, given)),),
        )


def _by_kind(kinds: list[str], without: Answers, given: Answers) -> list[Figure]:
    figures = []
    for kind in dict.fromkeys(kinds):
        for name, answers in (("score_without_text", without), ("score_with_text", given)):
            chosen = tuple(p for p, k in zip(answers.passed, kinds, strict=True) if k == kind)
            figures.append(score(name, _only(answers, chosen), about=kind))
    return figures


def _only(answers: Answers, passed: tuple[bool, ...]) -> Answers:
    return msgspec.structs.replace(answers, passed=passed)


def _tokens(without: Answers, given: Answers) -> dict[str, str]:
    n = len(given.passed)
    return {
        "without": f"{without.prompt_tokens / n:.0f}",
        "given": f"{given.prompt_tokens / n:.0f}",
    }
