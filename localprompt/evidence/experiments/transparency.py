"""Experiment 10: who wrote each token that the model received, and what a tuning can say instead.

Prompting: every prompt that ships, with every one of its cases, is rendered and tokenized as a run
does it; each token is attributed to the chat template, the prompt file or a variable by name. That
is a count of all of them, not a sample, so the share has no interval.

Tuning: the weights before and after are compared number by number. How many changed can be told;
which example changed them cannot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from localprompt import paths
from localprompt.engine.base import Engine
from localprompt.errors import MachineError
from localprompt.evidence import data
from localprompt.evidence.experiment import Outcome
from localprompt.evidence.figures import once
from localprompt.evidence.lab import Lab
from localprompt.evidence.recipes import SMALLEST
from localprompt.evidence.searching import SearchPlan
from localprompt.evidence.weights import weight_changes
from localprompt.records.evidence import Condition, Figure, Group, Rule, Sample
from localprompt.records.prompt import Origin
from localprompt.records.received import PromptToken, attributed, stretches
from localprompt.rendering.prompt import render_messages
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.suite.prompty import suite_from_prompt

_SHOWN = "classify-sentiment"
_ORIGINS: tuple[Origin, ...] = ("template", "variable", "chat_template")


class Transparency:
    number = 10
    name = "transparency"
    edition = 1
    rule = Rule(
        supported=(
            Condition("share_attributed", "value", "=", 1),
            Condition("tokens_attributed", "value", ">=", 1000),
        ),
        refuted=(Condition("share_attributed", "value", "<", 1),),
    )
    seconds = 10.0
    tunings = (SMALLEST,)
    searches: tuple[SearchPlan, ...] = ()

    def inputs(self, lab: Lab) -> dict[str, str]:
        return {"prompts": data.digest(*_prompts(), *(_cases(path) for path in _prompts()))}

    def run(self, lab: Lab) -> Outcome:
        lab.step("rendering every prompt that ships with every case")
        with lab.tools.open_vocabulary(lab.model) as engine:
            received = [one for path in _prompts() for one in _received(path, engine)]
            sample = next(_received(_named(_SHOWN), engine))
        by_origin = Counter(token.origin for one in received for token in one)
        total = by_origin.total()
        known = sum(map(attributed, received))
        tuned, prevented = _of_tuning(lab)
        return Outcome(
            figures=(
                once("share_attributed", known / total, "share"),
                once("tokens_attributed", known, "count"),
                once("prompts_rendered", len(received), "count"),
                *tuned,
            ),
            groups=(
                Group(
                    "by_origin",
                    tuple(
                        once("share_of_tokens", by_origin[origin] / total, "share", about=origin)
                        for origin in _ORIGINS
                    ),
                ),
            ),
            samples=(Sample("received", _explained(sample), about=_SHOWN),),
            prevented=prevented,
        )


def _of_tuning(lab: Lab) -> tuple[tuple[Figure, ...], str | None]:
    """What the weights' difference shows; or why there is none."""
    try:
        tuning = lab.tuned(SMALLEST)
        lab.step("comparing the weights before and after tuning")
        changes = weight_changes(Path(lab.converted("F32").path), Path(tuning.full.path))
    except MachineError as error:
        return (), str(error)
    return (
        once("weights_changed", changes.changed, "count"),
        once("share_of_weights_changed", changes.changed / changes.total, "share"),
        once("examples_tuned_on", tuning.examples.trained, "count"),
    ), None


def _received(path: Path, engine: Engine) -> Iterator[tuple[PromptToken, ...]]:
    template = load_prompt(path)
    for case in suite_from_prompt(template).open_cases():
        yield engine.explain(engine.encode(render_messages(template, case.vars)))


def _prompts() -> list[Path]:
    return sorted(paths.shipped("prompts").glob("*.prompty"))


def _named(name: str) -> Path:
    return paths.shipped("prompts") / f"{name}.prompty"


def _cases(path: Path) -> Path:
    return Path(load_prompt(path).cases or path)


def _explained(tokens: tuple[PromptToken, ...]) -> str:
    """One stretch of tokens a line: who wrote it, and its tokens between bars."""
    lines = []
    for stretch in stretches(tokens):
        writer = stretch.source or stretch.origin.replace("_", " ")
        lines.append(f"{writer:<16} {'|'.join(_visible(t.text) for t in stretch.tokens)}")
    return "\n".join(lines)


def _visible(text: str) -> str:
    return text.replace("\n", "⏎")
