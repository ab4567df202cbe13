"""Experiments 4 and 6: time to the first scored result, and changes tried per hour.

Both sides are judged by the same cases with the same program. On the side of tuning stands the
smallest one, which is the fastest; what larger ones take is told beside it. People's time (thinking
of a prompt, writing examples) is not measured on either side; how many words each needs is.
"""

from __future__ import annotations

from localprompt.evidence import data
from localprompt.evidence.experiment import Outcome
from localprompt.evidence.figures import middle, once, ratio
from localprompt.evidence.lab import Lab
from localprompt.evidence.prompts import with_instruction
from localprompt.evidence.recipes import CHANCE, HELD_OUT, PLAIN, SENTIMENT, SMALLEST, TRAIN
from localprompt.records.evidence import Condition, Figure, Group, Rule
from localprompt.sources.prompt.file import load_prompt
from localprompt.stats.samples import Interval

_REPETITIONS = 6
_LARGER = SENTIMENT[256]
EDITS = (
    "Is the review positive or negative? Answer with one word.",
    "You read reviews. Say positive if the writer is content and negative if not.",
    "Decide how the writer feels. Reply with positive or negative and nothing else.",
    "Classify the review: positive or negative.",
    "You work for a shop and sort reviews into positive and negative ones.",
    "Read carefully, irony included, and answer positive or negative.",
)
"""Instructions as somebody would try them one after the other; written before any was run."""


class FirstResult:
    number = 4
    name = "first-result"
    edition = 1
    rule = Rule(
        supported=(Condition("ratio_tuning_to_prompting", "low", ">", 1),),
        refuted=(Condition("ratio_tuning_to_prompting", "high", "<", 1),),
    )
    seconds = 90.0
    tunings = (SMALLEST, _LARGER)

    def inputs(self, lab: Lab) -> dict[str, str]:
        return {"data": data.digest(data.dataset(HELD_OUT), data.prompt(PLAIN))}

    def run(self, lab: Lab) -> Outcome:
        samples = []
        for number in range(1, _REPETITIONS + 1):
            lab.step(f"a fresh process, from nothing to a score: {number} of {_REPETITIONS}")
            samples.append(lab.tools.run(_evaluation(lab)).wall_seconds)
        prompting = middle("seconds_prompting", samples, "seconds")
        smallest = lab.tuned(SMALLEST).wall_seconds + prompting.value
        larger = lab.tuned(_LARGER).wall_seconds + prompting.value
        tuning = once("seconds_tuning", smallest, "seconds", str(SMALLEST.examples))
        return Outcome(
            figures=(
                ratio("ratio_tuning_to_prompting", tuning, prompting),
                prompting,
                tuning,
                once("seconds_tuning", larger, "seconds", str(_LARGER.examples)),
                once("words_of_prompt", _words_of_prompt(), "count"),
                once("words_of_examples", _words(SMALLEST.examples), "count", "16"),
                once("words_of_examples", _words(_LARGER.examples), "count", "256"),
            ),
        )


class Iteration:
    number = 6
    name = "iteration"
    edition = 1
    rule = Rule(
        supported=(Condition("ratio_edits_to_tunings", "low", ">", 1),),
        refuted=(Condition("ratio_edits_to_tunings", "high", "<", 1),),
    )
    seconds = 90.0
    tunings = (SMALLEST, _LARGER)

    def inputs(self, lab: Lab) -> dict[str, str]:
        files = (data.dataset(HELD_OUT), data.prompt(PLAIN))
        return {"data": data.digest(*files), "edits": "\n".join(EDITS)}

    def run(self, lab: Lab) -> Outcome:
        cases, shown, samples = data.dataset(HELD_OUT), [], []
        lab.step("opening the model")
        lab.ask(data.prompt(PLAIN), cases, limit=16, cached=False)
        for number, edit in enumerate(EDITS, start=1):
            lab.step(f"an edited prompt, scored: {number} of {len(EDITS)}")
            prompt = with_instruction(data.prompt(PLAIN), edit, lab.folder)
            answers = lab.ask(prompt, cases, cached=False)
            samples.append(answers.wall_seconds)
            rate = answers.right / len(answers.passed)
            shown.append(once("score_of_edit", rate, "share", str(number)))
        edits = _per_hour("edits_per_hour", samples)
        tunings = _tunings(lab, SMALLEST.examples, samples)
        return Outcome(
            figures=(
                ratio("ratio_edits_to_tunings", edits, tunings),
                edits,
                tunings,
                _tunings(lab, _LARGER.examples, samples),
            ),
            groups=(Group("edits", tuple(shown), CHANCE),),
        )


def _evaluation(lab: Lab) -> list[str]:
    return [
        *("eval", str(data.prompt(PLAIN)), "--cases", str(data.dataset(HELD_OUT))),
        *("--model", lab.model.path, "--scoring", "raw", "--no-cache", "--no-log", "--quiet"),
    ]


def _per_hour(name: str, samples: list[float]) -> Figure:
    seconds = middle(name, samples, "per_hour")
    between = seconds.interval
    return Figure(
        name,
        3600 / seconds.value,
        "per_hour",
        "measured",
        Interval(3600 / between.high, 3600 / between.low) if between else None,
        seconds.n,
    )


def _tunings(lab: Lab, examples: int | None, scoring: list[float]) -> Figure:
    """Tunings per hour, each scored as an edit is."""
    result = lab.tuned(SENTIMENT[examples or 0])
    seconds = result.wall_seconds + middle("", scoring, "seconds").value
    return once("tunings_per_hour", 3600 / seconds, "per_hour", str(examples))


def _words_of_prompt() -> int:
    return len(load_prompt(data.prompt(PLAIN)).body.split())


def _words(examples: int | None) -> int:
    rows = data.read_rows(data.dataset(TRAIN))[:examples]
    return sum(len(value.split()) for row in rows for value in row.values())
