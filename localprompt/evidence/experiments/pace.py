"""Experiments 4 and 6: time to the first useful result, and changes tried per hour.

Both sides are judged by the same cases with the same program, and both have an optimizer: a search
for the prompt, a tuning. A result counts as useful where its score is shown to be above chance; on
each side it is taken from the quickest way that gets there. People's time (thinking of a prompt,
writing examples) is not measured on either side; how many words each needs is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from localprompt.evidence import data
from localprompt.evidence.experiment import Outcome
from localprompt.evidence.figures import middle, once, ratio, score
from localprompt.evidence.lab import Answers, Lab
from localprompt.evidence.prompts import with_instruction
from localprompt.evidence.recipes import (
    CHANCE,
    HELD_OUT,
    PLAIN,
    SEARCHES,
    SENTIMENT,
    SMALLEST,
    TRAIN,
)
from localprompt.records.evidence import Condition, Figure, Group, Note, Rule
from localprompt.sources.prompt.file import load_prompt
from localprompt.stats.paired import wilson
from localprompt.stats.samples import Interval

_REPETITIONS = 6
_LARGER = SENTIMENT[256]
_RATIOS = ("ratio_edits_to_tunings", "ratio_searches_to_tunings")
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
    edition = 2
    rule = Rule(
        supported=(Condition("ratio_useful_tuning_to_prompting", "low", ">", 1),),
        refuted=(Condition("ratio_useful_tuning_to_prompting", "high", "<", 1),),
    )
    seconds = 120.0
    tunings = (SMALLEST, _LARGER)
    searches = (SEARCHES[16], SEARCHES[256])

    def inputs(self, lab: Lab) -> dict[str, str]:
        return {"data": data.digest(data.dataset(HELD_OUT), data.prompt(PLAIN))}

    def run(self, lab: Lab) -> Outcome:
        scoring = self._scoring(lab)
        ways = list(_ways_of_prompting(lab)), list(_ways_of_tuning(lab))
        figures: list[Figure] = []
        firsts: list[Figure | None] = []
        for side, name in zip(ways, ("seconds_prompting", "seconds_tuning"), strict=True):
            timed = [_until_scored(name, way, scoring) for way in side]
            figures += timed
            useful = (f for f, way in zip(timed, side, strict=True) if way.useful)
            firsts.append(min(useful, key=lambda figure: figure.value, default=None))
        prompting, tuning = firsts
        decided: tuple[Figure, ...] = ()
        if prompting is not None and tuning is not None:
            decided = (ratio("ratio_useful_tuning_to_prompting", tuning, prompting),)
        scores = [score("score_of_first", way.answers, way.about) for side in ways for way in side]
        return Outcome(
            figures=(
                *decided,
                *figures,
                once("words_of_prompt", _words_of_prompt(), "count"),
                once("words_of_examples", _words(SMALLEST.examples), "count", "16"),
                once("words_of_examples", _words(_LARGER.examples), "count", "256"),
            ),
            groups=(Group("first_results", tuple(scores), CHANCE),),
            prevented=None if decided else _not_useful(prompting, tuning),
        )

    def _scoring(self, lab: Lab) -> Figure:
        samples = []
        for number in range(1, _REPETITIONS + 1):
            lab.step(f"a fresh process, from nothing to a score: {number} of {_REPETITIONS}")
            samples.append(lab.tools.run(_evaluation(lab)).wall_seconds)
        return middle("scoring", samples, "seconds")


class _Way(msgspec.Struct, frozen=True):
    """One way to a first result."""

    about: str
    seconds: float
    """Before its result is scored."""
    answers: Answers

    @property
    def useful(self) -> bool:
        """Whether it is shown to be above chance."""
        interval = wilson(self.answers.right, len(self.answers.passed))
        return interval is not None and interval.low > CHANCE


def _ways_of_prompting(lab: Lab) -> Iterator[_Way]:
    cases = data.dataset(HELD_OUT)
    lab.step("the prompt as it was typed")
    yield _Way("as typed", 0.0, lab.ask(data.prompt(PLAIN), cases))
    for plan in FirstResult.searches:
        found = lab.searched(plan)
        lab.step(f"the prompt that {plan.name} found")
        about = f"searched, {plan.examples} examples"
        yield _Way(about, found.wall_seconds, lab.ask(Path(found.prompt), cases))


def _ways_of_tuning(lab: Lab) -> Iterator[_Way]:
    for plan in FirstResult.tunings:
        result, model = lab.tuned(plan), lab.tuned_model(plan)
        lab.step(f"the model that {plan.name} made")
        answers = lab.ask(data.prompt(PLAIN), data.dataset(HELD_OUT), model)
        yield _Way(f"tuned, {plan.examples} examples", result.wall_seconds, answers)


def _until_scored(name: str, way: _Way, scoring: Figure) -> Figure:
    """From nothing to the way's score; what comes before the scoring was timed once."""
    between = scoring.interval
    return Figure(
        name,
        way.seconds + scoring.value,
        "seconds",
        "measured",
        between and Interval(way.seconds + between.low, way.seconds + between.high),
        scoring.n,
        way.about,
    )


def _not_useful(prompting: Figure | None, tuning: Figure | None) -> str:
    sides = [
        name for name, first in (("prompting", prompting), ("tuning", tuning)) if first is None
    ]
    return f"no result of {' or of '.join(sides)} was shown to be above chance"


class Iteration:
    number = 6
    name = "iteration"
    edition = 2
    rule = Rule(
        supported=tuple(Condition(name, "low", ">", 1) for name in _RATIOS),
        refuted=tuple(Condition(name, "high", "<", 1) for name in _RATIOS),
    )
    seconds = 90.0
    tunings = (SMALLEST, _LARGER)
    searches = (SEARCHES[256],)

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
        found = lab.searched(SEARCHES[256])
        lab.step("the prompt that the search found")
        answers = lab.ask(Path(found.prompt), cases)
        shown.append(once("score_of_search", answers.right / len(answers.passed), "share", "256"))
        searches = _per_hour("searches_per_hour", samples, found.wall_seconds, "256")
        tunings = _tunings(lab, SMALLEST.examples, samples)
        larger = _tunings(lab, _LARGER.examples, samples)
        return Outcome(
            figures=(
                ratio("ratio_edits_to_tunings", edits, tunings),
                ratio("ratio_searches_to_tunings", searches, larger, "256"),
                edits,
                searches,
                tunings,
                larger,
            ),
            groups=(Group("edits", tuple(shown), CHANCE),),
            notes=(Note("found_prompt", {"found": found.found}),),
        )


def _evaluation(lab: Lab) -> list[str]:
    return [
        *("eval", str(data.prompt(PLAIN)), "--cases", str(data.dataset(HELD_OUT))),
        *("--model", lab.model.path, "--scoring", "raw", "--no-cache", "--no-log", "--quiet"),
    ]


def _per_hour(name: str, samples: list[float], before: float = 0.0, about: str = "") -> Figure:
    """How many fit into an hour, each scored, and made in ``before`` seconds."""
    scoring = middle(name, samples, "per_hour")
    between = scoring.interval
    return Figure(
        name,
        3600 / (before + scoring.value),
        "per_hour",
        "measured",
        Interval(3600 / (before + between.high), 3600 / (before + between.low))
        if between
        else None,
        scoring.n,
        about,
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
