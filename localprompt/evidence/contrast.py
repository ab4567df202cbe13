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
from localprompt.evidence.figures import estimated, once
from localprompt.evidence.judging import answers_for_an_hour, break_even, curve, judge
from localprompt.evidence.lab import Answers, Lab
from localprompt.evidence.searching import SearchPlan
from localprompt.evidence.tuning import TuningPlan
from localprompt.evidence.ways import after, only_answers, prompting
from localprompt.finetune.estimate.shapes import find_shape
from localprompt.measure import machine
from localprompt.records.contrast import ContrastReport, Curve, Judged, Way
from localprompt.records.evaluation import EvalRequest
from localprompt.records.prompt import PromptTemplate
from localprompt.records.training import TrainingResult
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.suite.records import EvalSuite, SuitePrompt
from localprompt.stats.ranges import Range

_EPOCHS = 2
_EXAMPLES = 256
_SECONDS_OF_TUNING = 290.0
_SECONDS_OF_SEARCH = 240.0
SEARCHED = "found by improve"
"""What the way of the search is called."""


def contrast(
    lab: Lab,
    suite: str,
    train: Path | None = None,
) -> ContrastReport:
    """Measure and estimate everything. With adapters in the lab nothing is tuned here.

    Args:
        suite: a suite's file, all of whose prompts are files.
        train: examples to search and tune with; None: ``datasets/NAME-train.csv`` beside the
            suite, if any.

    Raises:
        LocalPromptError: the suite is wrong, or cannot be evaluated here.
    """
    opened = open_suite(EvalRequest(suite=suite))
    task = _task(opened, train)
    ways, answered = [], {}
    for prompt in opened.prompts:
        way, answers = prompting(lab, opened, prompt.label, prompt.template, lab.model)
        ways.append(way)
        answered[prompt.label] = answers
    if isinstance(task, _Task):
        way, answers = _searched(lab, opened, task)
        ways.append(way)
        answered[way.name] = answers
    tuned, prevented = _tuned(lab, opened, task)
    compared: tuple[str, ...] = ()
    judged: tuple[Judged, ...] = ()
    curves: tuple[Curve, ...] = ()
    if tuned:
        best = _best(ways, answered)
        answered |= {way.name: answers for way, answers in tuned}
        way = _best([way for way, _ in tuned], answered)
        compared = (best.name, way.name)
        judged = tuple(judge(best, way, answered[best.name], answered[way.name]))
        ways += [way for way, _ in tuned]
        lines = tuple(c for c in (curve(best), curve(way)) if c is not None)
        curves = lines if len(lines) == 2 else ()
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
        compared=compared,
        break_even=break_even(curves, judged),
        prevented=prevented,
        adapters=lab.adapters_to_show,
        answers_for_an_hour=answers_for_an_hour(judged) if lab.adapters else None,
        unsearched=task if isinstance(task, str) and lab.adapters else None,
    )


def _best(ways: list[Way], answered: dict[str, Answers]) -> Way:
    return max(ways, key=lambda way: (answered[way.name].right, way.name))


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
    asked, answers = prompting(lab, suite, SEARCHED, load_prompt(file), lab.model, file)
    own = {"examples": once("examples", min(_EXAMPLES, data.count_examples(task.train)), "count")}
    if found.peak_rss_bytes is not None:
        own["memory"] = once("memory", found.peak_rss_bytes, "bytes")
    return after(asked, found.wall_seconds, found.cpu_seconds, own), answers


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


def _tuned(
    lab: Lab, suite: EvalSuite, task: _Task | str
) -> tuple[list[tuple[Way, Answers]], str | None]:
    """The tuned side: adapters with each prompt, or a tuning made here; or why there is none."""
    if lab.adapters:
        return [_adapted(lab, suite, prompt) for prompt in suite.prompts], None
    if isinstance(task, str):
        return [], task
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
        return [], str(error)
    asked, answers = prompting(lab, suite, task.label, task.template, model)
    own = {
        "disk": once("disk", (lab.model.size_bytes or 0) + _made_bytes(result), "bytes"),
        "examples": once("examples", result.examples.trained, "count"),
    }
    if result.memory.peak_rss_bytes is not None:
        own["memory"] = once("memory", result.memory.peak_rss_bytes, "bytes")
    way = after(asked, result.wall_seconds, result.cpu_seconds, own)
    return [(Way("tuning", "cpu-llama.cpp", lab.model.name, way.figures), answers)], None


def _adapted(lab: Lab, suite: EvalSuite, prompt: SuitePrompt) -> tuple[Way, Answers]:
    """One prompt with the adapters that were made elsewhere: what their training took is not known.

    With every prompt of the suite, because nobody says which one they were trained for.
    """
    asked, answers = prompting(
        lab, suite, prompt.label, prompt.template, lab.model, adapters=lab.adapters
    )
    name = f"{lab.adapter_names}, {prompt.label}"
    return Way("tuning", name, lab.model.name, only_answers(asked)), answers


def _made_bytes(result: TrainingResult) -> int:
    """The files that a tuning leaves: its weights in 32 bit, and quantized."""
    return sum({made.path: made.size_bytes for made in (result.full, result.tuned)}.values())


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
