"""What the evaluation peers answer: the same texts for all of them, made from word lists.

Two workloads, the two shapes that evaluations have. *choices*: a long shared beginning (few-shot
examples), a short text of its own for each case, one of a few labels as the answer. *texts*: short
prompts, 64 tokens of answer each. Nothing is drawn at random without a fixed seed, so every run of
the harness asks the same. They measure time; what the labels are worth is not the question here.

A workload is written as a promptfoo suite, which localprompt and promptfoo both read.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

import msgspec
import yaml

_SEED = 20_261_122
_EXAMPLES = 12
_LABELS = ("positive", "negative")

_THINGS = (
    "kettle",
    "lamp",
    "tent",
    "radio",
    "jacket",
    "bicycle",
    "blender",
    "keyboard",
    "mattress",
)
_PLACES = ("in the kitchen", "on a long trip", "at work", "in the garden", "for my sister")
_TIMES = ("for three weeks now", "since the spring", "every day for a month", "twice so far")
_GOOD = (
    "it does exactly what it should and still looks new",
    "I have never had a better one and would buy it again",
    "everything about it is well made and pleasant to use",
)
_BAD = (
    "it broke on the second day and nobody answers my letters",
    "the parts do not fit and it makes a terrible noise",
    "I regret every cent of it and have asked for my money back",
)
_ASKED = ("My neighbour", "A colleague", "The shop", "An old friend")
_HEROES = ("a baker", "a young sailor", "two sisters", "an old clock", "a mountain guide")
_TURNS = ("finds a map", "loses a key", "hears a strange bell", "misses the last train")


class Case(msgspec.Struct, frozen=True):
    text: str
    """What stands in the prompt's place for it."""
    expected: str | None = None


class Workload(msgspec.Struct, frozen=True):
    name: str
    before: str
    """The beginning that all prompts share."""
    after: str
    cases: tuple[Case, ...]
    max_tokens: int
    choices: tuple[str, ...] = ()
    """The closed set of answers; none for free text."""

    @property
    def prompts(self) -> tuple[str, ...]:
        """What the model receives, as plain text."""
        return tuple(f"{self.before}{case.text}{self.after}" for case in self.cases)

    def answer_of(self, text: str) -> str:
        """The label that a completion begins with, or its text where there is no closed set."""
        if not self.choices:
            return text
        words = text.strip().lower()
        return next((label for label in self.choices if words.startswith(label)), words)


def choices(cases: int) -> Workload:
    """So many reviews after a dozen examples."""
    draw = random.Random(_SEED)
    examples = [_review(draw, at) for at in range(_EXAMPLES)]
    return Workload(
        name="choices",
        before="Decide for each review whether it is positive or negative.\n\n"
        + "".join(f"Review: {one.text}\nSentiment: {one.expected}\n\n" for one in examples)
        + "Review: ",
        after="\nSentiment:",
        cases=tuple(_review(draw, at) for at in range(cases)),
        max_tokens=4,
        choices=_LABELS,
    )


def texts(cases: int) -> Workload:
    """So many beginnings of stories, 64 tokens of each."""
    draw = random.Random(_SEED)
    lines = (
        f"Story {at + 1}: {draw.choice(_HEROES)} {draw.choice(_TURNS)} {draw.choice(_PLACES)}."
        for at in range(cases)
    )
    return Workload(
        name="texts",
        before="",
        after="\nThis is how it went on: Once upon a time",
        cases=tuple(Case(line) for line in lines),
        max_tokens=64,
    )


def write_suite(workload: Workload, folder: Path, url: str) -> Path:
    """The workload as a promptfoo configuration with its files beside it.

    Args:
        url: of a server that speaks OpenAI's protocol; what a provider needs, used by promptfoo
            only.
    """
    (folder / "prompt.txt").write_text(
        f"{workload.before}{{{{ text }}}}{workload.after}", encoding="utf-8"
    )
    with (folder / "cases.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        scored = bool(workload.choices)
        writer.writerow(["text", "__expected"] if scored else ["text"])
        for case in workload.cases:
            writer.writerow([case.text, f"icontains: {case.expected}"] if scored else [case.text])
    provider = {
        "id": "openai:completion:local",
        "config": {
            "apiBaseUrl": f"{url}/v1",
            "apiKey": "none",
            "temperature": 0,
            "max_tokens": workload.max_tokens,
        },
    }
    suite = {
        "description": workload.name,
        "prompts": ["file://prompt.txt"],
        "providers": [provider],
        "tests": "file://cases.csv",
    }
    path = folder / "promptfooconfig.yaml"
    path.write_text(yaml.safe_dump(suite, sort_keys=False), encoding="utf-8")
    return path


def _review(draw: random.Random, at: int) -> Case:
    label = _LABELS[at % 2]
    opinion = draw.choice(_GOOD if label == "positive" else _BAD)
    where, when = draw.choice(_PLACES), draw.choice(_TIMES)
    text = f"I have used this {draw.choice(_THINGS)} {where} {when}, and {opinion}. "
    text += f"{draw.choice(_ASKED)} asked me about it on day {at + 1}."
    return Case(text, label)
