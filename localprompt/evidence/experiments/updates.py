"""Experiment 3: the same prompt files on other models, without edits; tuned weights, again.

Two prompt files and their cases run on the lab's model, on two other quantizations of it, and on a
model of another family where one is here. What the weights of the tuned model are worth for that
other model is read from the headers of both: a tensor can be taken over where the other model has
one of the same name and shape.
"""

from __future__ import annotations

from pathlib import Path

from localprompt.errors import MachineError, UnknownNameError
from localprompt.evidence import data
from localprompt.evidence.experiment import Outcome
from localprompt.evidence.figures import gain, once, score
from localprompt.evidence.lab import Lab
from localprompt.evidence.recipes import SENTIMENT
from localprompt.evidence.searching import SearchPlan
from localprompt.gguf.adapter import pair_fits, read_adapter
from localprompt.gguf.header import read_gguf
from localprompt.gguf.splits import read_model
from localprompt.records.evidence import Condition, Figure, Group, Note, Rule
from localprompt.records.model import ModelRecord

OTHER_FAMILY = "gemma3-270m"
OTHER_TYPES = ("Q4_0", "Q8_0")
PROMPTS = {"classify-sentiment": "sentiment.csv", "answer-from-passage": "closed-questions.csv"}
"""Until edition 2 the reviews were asked with a prompt at chance, whose score cannot fall."""
LOST_AT_MOST = 0.10
"""Ten points: what a score may fall and still count as kept."""
_TUNING = SENTIMENT[256]


class Updates:
    number = 3
    name = "updates"
    edition = 2
    rule = Rule(
        supported=(
            Condition("gain_on_worst_model", "low", ">", -LOST_AT_MOST),
            Condition("share_of_weights_reusable", "value", "<", 1),
        ),
        refuted=(
            Condition("gain_on_worst_model", "high", "<", -LOST_AT_MOST),
            Condition("share_of_weights_reusable", "value", "=", 1),
        ),
    )
    seconds = 240.0
    tunings = (_TUNING,)
    searches: tuple[SearchPlan, ...] = ()

    def inputs(self, lab: Lab) -> dict[str, str]:
        files = [data.any_prompt(name) for name in PROMPTS]
        files += [data.dataset(name) for name in PROMPTS.values()]
        other = _other_family(lab)
        return {"data": data.digest(*files), "other model": (other and other.sha256) or "none"}

    def run(self, lab: Lab) -> Outcome:
        other = _other_family(lab)
        others = [lab.converted(file_type) for file_type in OTHER_TYPES]
        others += [] if other is None else [other]
        gains, shown = [], []
        for name, cases in PROMPTS.items():
            lab.step(f"{name} on {lab.model.name}")
            own = lab.ask(data.any_prompt(name), data.dataset(cases))
            shown.append(score(f"score_{name}", own, lab.model.name))
            for model in others:
                lab.step(f"{name} on {model.name}")
                answers = lab.ask(data.any_prompt(name), data.dataset(cases), model)
                shown.append(score(f"score_{name}", answers, model.name))
                gains.append(gain("gain_on_worst_model", own.passed, answers.passed, model.name))
        worst = min(gains, key=_low)
        notes: tuple[Note, ...] = ()
        if lab.adapters:
            tuned, prevented = _of_adapters(lab, other), None
            notes = (Note("adapter_updates", {"adapters": lab.adapter_names}),)
        else:
            tuned, prevented = _of_tuning(lab, other)
        if other is None:
            prevented = (
                f"no model of another family is installed: localprompt models pull {OTHER_FAMILY}"
            )
        return Outcome(
            figures=(worst, *tuned),
            groups=(Group("by_model", tuple(shown)),),
            notes=notes,
            prevented=prevented,
        )


def _low(figure: Figure) -> float:
    return figure.interval.low if figure.interval else figure.value


def _other_family(lab: Lab) -> ModelRecord | None:
    try:
        found = lab.find_model(OTHER_FAMILY)
    except (UnknownNameError, MachineError):
        return None
    return None if found.architecture == lab.model.architecture else found


def _of_tuning(lab: Lab, other: ModelRecord | None) -> tuple[tuple[Figure, ...], str | None]:
    """What of a tuned model another one can use, and what tuning again takes."""
    try:
        result = lab.tuned(_TUNING)
    except MachineError as error:
        return (), str(error)
    again = once("seconds_of_tuning", result.wall_seconds, "seconds", _TUNING.name)
    if other is None:
        return (again,), None
    ours = read_gguf(Path(result.full.path)).tensors
    theirs = {(t.name, t.shape) for t in read_gguf(Path(other.path)).tensors}
    total = sum(tensor.n_elements for tensor in ours)
    usable = sum(t.n_elements for t in ours if (t.name, t.shape) in theirs)
    return (once("share_of_weights_reusable", usable / total, "share", other.name), again), None


def _of_adapters(lab: Lab, other: ModelRecord | None) -> tuple[Figure, ...]:
    """What of adapters that were made elsewhere fits a model of another family."""
    if other is None:
        return ()
    base = read_model(Path(other.path))
    total = usable = 0
    for use in lab.adapters:
        for name, (a, b) in read_adapter(Path(use.path)).pairs.items():
            numbers = a.n_elements + b.n_elements
            total += numbers
            usable += numbers if pair_fits(name, a, b, base) else 0
    return (once("share_of_weights_reusable", usable / total, "share", other.name),)
