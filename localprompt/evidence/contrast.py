"""Prompting beside fine-tuning, for one suite: measured for this model, estimated for larger ones.

Every prompt of the suite is a way; so are the prompt that a search finds with the examples that lie
beside the suite's cases, tuning the same model on the same ones, and prompting and training a
larger model, of which nothing is run. Which of
two ways is better at a quantity is only said where their intervals lie apart.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

import localprompt
from localprompt.errors import InputError, MachineError
from localprompt.evaluate.loading import open_suite
from localprompt.evaluate.results import expected_text
from localprompt.evidence import data
from localprompt.evidence import recipes as larger
from localprompt.evidence.figures import estimated, middle, once, score
from localprompt.evidence.judging import break_even, curve, judge
from localprompt.evidence.lab import Answers, Lab
from localprompt.evidence.searching import SearchPlan
from localprompt.evidence.tuning import TuningPlan
from localprompt.finetune.estimate.shapes import find_shape
from localprompt.measure import machine
from localprompt.measure.energy import usd_of
from localprompt.records import json
from localprompt.records.contrast import ContrastReport, Curve, Judged, Way
from localprompt.records.evaluation import EvalRequest
from localprompt.records.evidence import Figure
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import PromptTemplate
from localprompt.records.training import TrainingResult
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.suite.records import EvalSuite
from localprompt.stats.ranges import Range

REPETITIONS = 6
_EPOCHS = 2
_EXAMPLES = 256
_SECONDS_OF_TUNING = 290.0
_SECONDS_OF_SEARCH = 240.0
SEARCHED = "found by improve"
"""What the way of the search is called."""


def contrast(lab: Lab, suite: str, train: Path | None = None) -> ContrastReport:
    """Measure and estimate everything.

    Args:
        suite: a suite's file, all of whose prompts are files.
        train: examples for tuning; None: ``datasets/NAME-train.csv`` beside the suite, if any.

    Raises:
        LocalPromptError: the suite is wrong, or cannot be evaluated here.
    """
    opened = open_suite(EvalRequest(suite=suite))
    ways, answered = [], {}
    for prompt in opened.prompts:
        way, answers = _prompting(lab, opened, prompt.label, prompt.template, lab.model)
        ways.append(way)
        answered[prompt.label] = answers
    task = _task(opened, train)
    if isinstance(task, _Task):
        way, answers = _searched(lab, opened, task)
        ways.append(way)
        answered[way.name] = answers
    best = max(ways, key=lambda way: (answered[way.name].right, way.name))
    tuned, prevented = _tuning(lab, opened, task)
    judged: tuple[Judged, ...] = ()
    curves: tuple[Curve, ...] = ()
    if tuned is not None:
        way, answers = tuned
        ways.append(way)
        judged = tuple(judge(best, way, answered[best.name], answers))
        curves = tuple(c for c in (curve(best), curve(way)) if c is not None)
    return ContrastReport(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        localprompt_version=localprompt.__version__,
        model=lab.model_to_show,
        machine=machine.describe(),
        suite=opened.name,
        cases=opened.counts.cases,
        ways=(*ways, *_larger(lab)),
        judged=judged,
        curves=curves,
        break_even=break_even(curves, judged),
        prevented=prevented,
    )


def _prompting(
    lab: Lab,
    suite: EvalSuite,
    label: str,
    template: PromptTemplate,
    model: ModelRecord,
    file: Path | None = None,
) -> tuple[Way, Answers]:
    """What one prompt takes on one model, and what it answers.

    Args:
        file: a prompt that is not the suite's own; it answers the suite's cases all the same.
    """
    peaks, firsts = _fresh(lab, suite, template, model)
    samples = []
    for number in range(1, REPETITIONS + 1):
        lab.step(f"{label} on {model.name}, all cases: {number} of {REPETITIONS}")
        samples.append(lab.ask_suite(suite.path, label, model, cached=False, file=file))
    answers = samples[0]
    cases = len(answers.passed)
    per_answer = middle("cpu_per_answer", [a.cpu_seconds / cases for a in samples], "seconds")
    change = middle("cpu_per_change", [a.cpu_seconds for a in samples], "seconds")
    figures = (
        score("score", answers),
        *((middle("memory", peaks, "bytes"),) if peaks else ()),
        middle("time_to_first_answer", firsts, "seconds"),
        middle("time_per_change", [a.wall_seconds for a in samples], "seconds"),
        change,
        per_answer,
        once("disk", model.size_bytes or 0, "bytes"),
        estimated("usd_per_change", usd_of(change.value), "usd"),
        estimated("usd_per_thousand", usd_of(1000 * per_answer.value), "usd"),
        once("examples", template.body.count("\nassistant:"), "count"),
    )
    return Way("prompting", label, model.name, figures), answers


def _fresh(
    lab: Lab, suite: EvalSuite, template: PromptTemplate, model: ModelRecord
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
    peaks, seconds = [], []
    for number in range(1, REPETITIONS + 1):
        lab.step(f"{template.name} on {model.name}, a fresh process: {number} of {REPETITIONS}")
        ran = lab.tools.run(
            ["run", template.path, *params, "--model", model.path, "--json", "--no-log"]
        )
        seconds.append(ran.wall_seconds)
        peak = json.decode(ran.stdout).memory.peak_rss_bytes
        if peak is not None:
            peaks.append(float(peak))
    return peaks, seconds


class _Task(msgspec.Struct, frozen=True):
    """What both optimizers start from: the suite's shortest prompt, and examples."""

    name: str
    label: str
    prompt: Path
    template: PromptTemplate
    train: Path


def _task(suite: EvalSuite, train: Path | None) -> _Task | str:
    """The task; or why there is nothing to learn from.

    Raises:
        InputError: a file of examples was named and is not there.
    """
    chosen = min(suite.prompts, key=lambda prompt: len(prompt.template.body))
    source = Path(suite.path)
    examples = train or source.parent / "datasets" / f"{source.stem}-train.csv"
    if not examples.is_file() and train is not None:
        raise InputError("no such file", where="--train", found=str(train))
    if not examples.is_file() or chosen.template.path is None:
        return f"no examples to tune on: {examples.name} beside the suite, or --train"
    prompt = Path(chosen.template.path)
    return _Task(f"contrast-{source.stem}", chosen.label, prompt, chosen.template, examples)


def _searched(lab: Lab, suite: EvalSuite, task: _Task) -> tuple[Way, Answers]:
    """The prompt that a search finds with the examples that the tuning has, and what it takes."""
    plan = SearchPlan(
        name=task.name,
        prompt=task.prompt,
        train=task.train,
        examples=_EXAMPLES,
        final=_held_out(lab, suite, task),
        seconds=_SECONDS_OF_SEARCH,
    )
    found = lab.searched(plan)
    file = Path(found.prompt)
    asked, answers = _prompting(lab, suite, SEARCHED, load_prompt(file), lab.model, file)
    own = {"examples": once("examples", min(_EXAMPLES, data.count_examples(task.train)), "count")}
    if found.peak_rss_bytes is not None:
        own["memory"] = once("memory", found.peak_rss_bytes, "bytes")
    return _after(asked, found.wall_seconds, found.cpu_seconds, own), answers


def _after(asked: Way, wall: float, cpu: float, own: dict[str, Figure]) -> Way:
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


def _held_out(lab: Lab, suite: EvalSuite, task: _Task) -> Path | None:
    """The suite's cases as a file for the search's proof, where each has one expected answer; else
    the search keeps a part of the examples for that."""
    cases = list(suite.cases())
    labels = [expected_text(case) for case in cases]
    if not all(labels):
        return None
    rows = [
        {**{name: str(value) for name, value in case.vars.items()}, "__expected": label or ""}
        for case, label in zip(cases, labels, strict=True)
    ]
    return data.write_rows(lab.folder / f"{task.name}-held-out.csv", rows)


def _tuning(
    lab: Lab, suite: EvalSuite, task: _Task | str
) -> tuple[tuple[Way, Answers] | None, str | None]:
    """Tuning this model on the suite's shortest prompt; or why that was not done."""
    if isinstance(task, str):
        return None, task
    plan = TuningPlan(
        name=task.name,
        prompt=task.prompt,
        train=task.train,
        examples=_EXAMPLES,
        epochs=_EPOCHS,
        seconds=_SECONDS_OF_TUNING,
    )
    try:
        result = lab.tuned(plan)
        model = lab.tuned_model(plan)
    except MachineError as error:
        return None, str(error)
    asked, answers = _prompting(lab, suite, task.label, task.template, model)
    own = {
        "disk": once("disk", (lab.model.size_bytes or 0) + _made_bytes(result), "bytes"),
        "examples": once("examples", result.examples.trained, "count"),
    }
    if result.memory.peak_rss_bytes is not None:
        own["memory"] = once("memory", result.memory.peak_rss_bytes, "bytes")
    way = _after(asked, result.wall_seconds, result.cpu_seconds, own)
    return (Way("tuning", "cpu-llama.cpp", lab.model.name, way.figures), answers), None


def _made_bytes(result: TrainingResult) -> int:
    """The files that a tuning leaves: its weights in 32 bit, and quantized."""
    return sum({made.path: made.size_bytes for made in (result.full, result.tuned)}.values())


def _plus(figure: Figure, seconds: float) -> Figure:
    """The figure after something that was timed once, so that it has no interval any more."""
    return once(figure.name, figure.value + seconds, figure.unit)


def _larger(lab: Lab) -> tuple[Way, ...]:
    """What the estimates say of a larger model, trained on as much as a usual small data set."""
    shape = find_shape(larger.LARGE)
    prompted = larger.prompting()
    ways = [
        Way(
            "prompting",
            prompted.quantization,
            shape.name,
            (
                estimated("memory", prompted.peak_bytes, "bytes"),
                estimated("disk", Range.around(prompted.memory.file_bytes, 0.0, 0.0), "bytes"),
            ),
        )
    ]
    for method in larger.METHODS:
        found = larger.training(shape, method, tokens=larger.TOKENS, prices=lab.prices)
        figures = [estimated("memory", found.memory.total_bytes, "bytes")]
        paid = [cost for cost in found.costs if cost.usd is not None]
        if paid:
            cheapest = min(paid, key=lambda cost: cost.usd.typical if cost.usd else 0.0)
            figures.append(estimated("time_per_change", cheapest.seconds, "seconds", cheapest.gpu))
            if cheapest.usd is not None:
                figures.append(estimated("usd_per_change", cheapest.usd, "usd", cheapest.gpu))
        ways.append(Way("tuning", method, shape.name, tuple(figures)))
    return tuple(ways)
