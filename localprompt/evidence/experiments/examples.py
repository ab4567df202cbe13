"""Experiment 5: how much data each way needs.

The same examples, in the same order, go to a search for the prompt (16 to 512) or into a tuning (16
to 512). Beside them stands what somebody does who has no optimizer: the first of them as turns in
the prompt (0 to 16). All are scored on the same held-out cases, which were written by somebody who
had not seen the examples.
"""

from __future__ import annotations

from pathlib import Path

from localprompt.errors import MachineError
from localprompt.evidence import data
from localprompt.evidence.experiment import Outcome
from localprompt.evidence.figures import gain, once, score
from localprompt.evidence.lab import Answers, Lab
from localprompt.evidence.prompts import with_examples
from localprompt.evidence.recipes import CHANCE, HELD_OUT, PLAIN, SEARCHES, SENTIMENT, TRAIN
from localprompt.records.evidence import Condition, Figure, Group, Rule
from localprompt.stats.paired import compare_passes

IN_PROMPT = (0, 1, 2, 4, 8, 16)
_BOTH = 16


class Examples:
    number = 5
    name = "examples"
    edition = 3
    rule = Rule(
        supported=(Condition("gain_of_search_at_16", "low", ">", 0),),
        refuted=(Condition("gain_of_search_at_16", "high", "<", 0),),
    )
    seconds = 150.0
    tunings = tuple(SENTIMENT.values())
    searches = tuple(SEARCHES.values())

    def inputs(self, lab: Lab) -> dict[str, str]:
        files = (data.dataset(HELD_OUT), data.dataset(TRAIN), data.prompt(PLAIN))
        return {"data": data.digest(*files)}

    def run(self, lab: Lab) -> Outcome:
        prompted = {count: self._prompted(lab, count) for count in IN_PROMPT}
        shown = [score("score_examples_in_prompt", a, str(n)) for n, a in prompted.items()]
        searched = {size: self._searched(lab, size) for size in SEARCHES}
        shown += [score("score_searched_on", a, str(n)) for n, a in searched.items()]
        try:
            tuned = {size: self._tuned(lab, size) for size in SENTIMENT}
        except MachineError as error:
            return Outcome((), (Group("by_examples", tuple(shown), CHANCE),), prevented=str(error))
        shown += [score("score_tuned_on", answers, str(n)) for n, answers in tuned.items()]
        most = max(tuned)
        return Outcome(
            figures=(
                gain("gain_of_search_at_16", tuned[_BOTH].passed, searched[_BOTH].passed),
                gain(
                    "gain_of_tuning_over_search",
                    searched[most].passed,
                    tuned[most].passed,
                    str(most),
                ),
                *_first_better(searched, tuned),
            ),
            groups=(Group("by_examples", tuple(shown), CHANCE),),
        )

    def _prompted(self, lab: Lab, count: int) -> Answers:
        lab.step(f"{count} examples in the prompt")
        rows = data.read_rows(data.dataset(TRAIN))[:count]
        prompt = with_examples(data.prompt(PLAIN), rows, lab.folder)
        return lab.ask(prompt, data.dataset(HELD_OUT))

    def _searched(self, lab: Lab, size: int) -> Answers:
        found = lab.searched(SEARCHES[size])
        lab.step(f"cases for the prompt found with {size} examples")
        return lab.ask(Path(found.prompt), data.dataset(HELD_OUT))

    def _tuned(self, lab: Lab, size: int) -> Answers:
        model = lab.tuned_model(SENTIMENT[size])
        lab.step(f"cases for the model tuned on {size} examples")
        return lab.ask(data.prompt(PLAIN), data.dataset(HELD_OUT), model)


def _first_better(searched: dict[int, Answers], tuned: dict[int, Answers]) -> tuple[Figure, ...]:
    """The fewest examples with which tuning is shown to be better than the search with the same."""
    for size, answers in sorted(tuned.items()):
        if compare_passes(searched[size].passed, answers.passed).interval.low > 0:
            return (once("examples_until_tuning_beats_search", size, "count"),)
    return ()
