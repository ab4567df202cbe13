"""Experiment 2: what 1,000 answers cost, and what a change costs.

Compared are a prompt with examples and a tuned model with the short prompt that it was tuned on,
which is where tuning should win: every answer reads less. The prompt with examples is made of that
short prompt, so what stands behind a review is the same on both sides; until edition 2 the tuned
model read eight more tokens there, which no examples could share. A change is what either side
makes of another set of 256 examples: a search for the prompt, or a tuning. The prompt that the
search finds may end in other words, so its answers are told beside and decide nothing. CPU time is
measured; money is CPU time times electricity, and for a larger model GPU time times dated prices,
both estimated.
"""

from __future__ import annotations

from pathlib import Path

from localprompt.evidence import data
from localprompt.evidence.experiment import Outcome
from localprompt.evidence.figures import estimated, middle, once, ratio
from localprompt.evidence.lab import Lab
from localprompt.evidence.prompts import with_examples
from localprompt.evidence.recipes import (
    HELD_OUT,
    LARGE,
    PLAIN,
    SEARCHES,
    SENTIMENT,
    TRAIN,
    gpu_change,
)
from localprompt.measure.energy import usd_of
from localprompt.records.evidence import Condition, Figure, Group, Note, Rule
from localprompt.records.model import ModelRecord
from localprompt.stats.samples import Interval

EXAMPLES = 4
_TUNING, _SEARCH = SENTIMENT[256], SEARCHES[256]
_REPETITIONS = 6


class Cost:
    number = 2
    name = "cost"
    edition = 3
    rule = Rule(
        supported=(
            Condition("ratio_change_tuning_to_search", "low", ">", 1),
            Condition("ratio_answer_prompting_to_tuned", "high", "<=", 1),
        ),
        refuted=(
            Condition("ratio_change_tuning_to_search", "high", "<", 1),
            Condition("ratio_answer_prompting_to_tuned", "low", ">", 1),
        ),
    )
    seconds = 150.0
    tunings = (_TUNING,)
    searches = (_SEARCH,)

    def inputs(self, lab: Lab) -> dict[str, str]:
        files = (data.dataset(HELD_OUT), data.dataset(TRAIN), data.prompt(PLAIN))
        prices = "; ".join(f"{p.gpu} {p.provider} {p.usd_per_gpu_hour}" for p in lab.prices)
        return {"data": data.digest(*files), "prices": prices}

    def run(self, lab: Lab) -> Outcome:
        rows = data.read_rows(data.dataset(TRAIN))[:EXAMPLES]
        prompted = with_examples(data.prompt(PLAIN), rows, lab.folder)
        prompting = self._per_answer(lab, prompted, lab.model, "cpu_per_answer_prompting")
        search = lab.searched(_SEARCH)
        found = self._per_answer(lab, Path(search.prompt), lab.model, "cpu_per_answer_found")
        result = lab.tuned(_TUNING)
        model = lab.tuned_model(_TUNING)
        tuned = self._per_answer(lab, data.prompt(PLAIN), model, "cpu_per_answer_tuned")
        cases = len(data.read_rows(data.dataset(HELD_OUT)))
        edit = once("cpu_per_edit", prompting.value * cases, "seconds")
        change = _after("cpu_per_change_search", search.cpu_seconds, found, cases)
        tuning = once("cpu_per_change_tuning", result.cpu_seconds + tuned.value * cases, "seconds")
        return Outcome(
            figures=(
                ratio("ratio_change_tuning_to_search", tuning, change),
                ratio("ratio_answer_prompting_to_tuned", prompting, tuned),
                prompting,
                tuned,
                found,
                edit,
                change,
                tuning,
                *_break_even(prompting, tuned, change, tuning),
            ),
            groups=(
                Group("usd_per_thousand", (_thousand(prompting), _thousand(tuned))),
                Group("usd_per_change", (_usd(change), _usd(tuning))),
                *self._on_gpus(lab, result.examples.tokens * len(result.epochs)),
            ),
            notes=(
                Note("large_model", {"shape": LARGE}),
                Note("found_prompt", {"found": search.found}),
            ),
        )

    def _per_answer(self, lab: Lab, prompt: Path, model: ModelRecord, name: str) -> Figure:
        cases = data.dataset(HELD_OUT)
        lab.ask(prompt, cases, model, limit=16, cached=False)  # opens the model
        samples = []
        for number in range(1, _REPETITIONS + 1):
            lab.step(f"{prompt.stem} on {model.name}, CPU time: {number} of {_REPETITIONS}")
            answers = lab.ask(prompt, cases, model, cached=False)
            samples.append(answers.cpu_seconds / len(answers.passed))
        return middle(name, samples, "seconds")

    def _on_gpus(self, lab: Lab, tokens: int) -> tuple[Group, ...]:
        figures = gpu_change(tokens, lab.prices)
        return (Group("usd_per_change_large", figures),) if figures else ()


def _after(name: str, search_seconds: float, per_answer: Figure, cases: int) -> Figure:
    """A search, timed once, and the answers that score it, with the interval that these have."""
    between = per_answer.interval
    return Figure(
        name,
        search_seconds + per_answer.value * cases,
        "seconds",
        "measured",
        between
        and Interval(search_seconds + between.low * cases, search_seconds + between.high * cases),
    )


def _thousand(per_answer: Figure) -> Figure:
    name = per_answer.name.replace("cpu_per_answer", "usd_per_thousand")
    return estimated(name, usd_of(1000 * per_answer.value), "usd")


def _usd(change: Figure) -> Figure:
    return estimated(change.name.replace("cpu", "usd"), usd_of(change.value), "usd")


def _break_even(
    prompting: Figure, tuned: Figure, change: Figure, tuning: Figure
) -> tuple[Figure, ...]:
    """How many answers it takes until the tuning has paid for itself; none where it never does."""
    saved = prompting.value - tuned.value
    if saved <= 0:
        return ()
    return (once("answers_until_tuning_pays", (tuning.value - change.value) / saved, "count"),)
