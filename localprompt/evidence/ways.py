"""What one way to get a job done takes: a prompt over all cases, and what came before it.

A prompt is asked in fresh processes and over all cases with the model open, six times each. What a
tuning or a search took once is added to what its answers take.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from localprompt.errors import InputError
from localprompt.evidence.figures import estimated, middle, once, score
from localprompt.evidence.lab import Answers, Lab
from localprompt.measure.energy import usd_of
from localprompt.records import json
from localprompt.records.contrast import Way
from localprompt.records.evidence import Figure
from localprompt.records.model import AdapterUse, ModelRecord
from localprompt.records.prompt import PromptTemplate
from localprompt.sources.suite.records import EvalSuite

REPETITIONS = 6
OF_THE_CHANGE = frozenset(
    {
        "memory",
        "time_to_first_answer",
        "time_per_change",
        "cpu_per_change",
        "usd_per_change",
        "examples",
    }
)
"""Figures that a search or a training takes its part of."""


def prompting(
    lab: Lab,
    suite: EvalSuite,
    label: str,
    template: PromptTemplate,
    model: ModelRecord,
    file: Path | None = None,
    adapters: tuple[AdapterUse, ...] = (),
) -> tuple[Way, Answers]:
    """What one prompt takes on one model, and what it answers.

    Args:
        file: a prompt that is not the suite's own; it answers the suite's cases all the same.
        adapters: on top of the model.
    """
    peaks, firsts = _fresh(lab, suite, template, model, adapters)
    samples = []
    for number in range(1, REPETITIONS + 1):
        lab.step(f"{label} on {model.name}, all cases: {number} of {REPETITIONS}")
        answered = lab.ask_suite(
            suite.path, label, model, cached=False, file=file, adapters=adapters
        )
        samples.append(answered)
    answers = samples[0]
    cases = len(answers.passed)
    per_answer = middle("cpu_per_answer", [a.cpu_seconds / cases for a in samples], "seconds")
    change = middle("cpu_per_change", [a.cpu_seconds for a in samples], "seconds")
    figures = (
        score("score", answers),
        *(middle(name, peaks, "bytes") for name in ("memory", "answering_memory") if peaks),
        middle("time_to_first_answer", firsts, "seconds"),
        middle("time_per_change", [a.wall_seconds for a in samples], "seconds"),
        change,
        per_answer,
        once("disk", (model.size_bytes or 0) + _file_bytes(adapters), "bytes"),
        estimated("usd_per_change", usd_of(change.value), "usd"),
        estimated("usd_per_thousand", usd_of(1000 * per_answer.value), "usd"),
        once("examples", template.body.count("\nassistant:"), "count"),
    )
    return Way("prompting", label, model.name, figures), answers


def _fresh(
    lab: Lab,
    suite: EvalSuite,
    template: PromptTemplate,
    model: ModelRecord,
    adapters: tuple[AdapterUse, ...],
) -> tuple[list[float], list[float]]:
    """Peaks of memory, and seconds until the first answer, of fresh processes.

    Raises:
        InputError: the prompt is no file, so that no process can be given it.
    """
    if template.path is None:
        raise InputError(
            "a contrast needs prompts that are files",
            where=template.name,
            expected="a .prompty file",
        )
    case = next(iter(suite.cases()))
    params = [word for name, value in case.vars.items() for word in ("--param", f"{name}={value}")]
    lora = [word for use in adapters for word in ("--lora", f"{use.path}:{use.scale!r}")]
    asked = ["run", template.path, *params, "--model", model.path, *lora, "--json", "--no-log"]
    peaks, seconds = [], []
    for number in range(1, REPETITIONS + 1):
        lab.step(f"{template.name} on {model.name}, a fresh process: {number} of {REPETITIONS}")
        ran = lab.tools.run(asked)
        seconds.append(ran.wall_seconds)
        peak = json.decode(ran.stdout).memory.peak_rss_bytes
        if peak is not None:
            peaks.append(float(peak))
    return peaks, seconds


def after(asked: Way, wall: float, cpu: float, own: dict[str, Figure]) -> Way:
    """A way whose every change begins with something that was timed once."""
    by_name = {figure.name: figure for figure in asked.figures}
    change = once("cpu_per_change", cpu + by_name["cpu_per_change"].value, "seconds")
    later = {
        "time_to_first_answer": _plus(by_name["time_to_first_answer"], wall),
        "time_per_change": _plus(by_name["time_per_change"], wall),
        "cpu_per_change": change,
        "usd_per_change": estimated("usd_per_change", usd_of(change.value), "usd"),
    }
    return msgspec.structs.replace(asked, figures=tuple((by_name | later | own).values()))


def _plus(figure: Figure, seconds: float) -> Figure:
    """The figure after something that was timed once, so that it has no interval any more."""
    return once(figure.name, figure.value + seconds, figure.unit)


def only_answers(way: Way) -> tuple[Figure, ...]:
    """A way's figures without those that a training is a part of, where that was not seen."""
    return tuple(figure for figure in way.figures if figure.name not in OF_THE_CHANGE)


def _file_bytes(adapters: tuple[AdapterUse, ...]) -> int:
    return sum(Path(use.path).stat().st_size for use in adapters)
