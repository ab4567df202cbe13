"""Experiment 9: what else a model knows, before and after tuning.

The model with the most tuning reads ordinary text beside the model that it was made from, token by
token, and both answer questions of general knowledge that have nothing to do with what was tuned.
For the reading that model was taken to 32 bit and back in the same way as the tuned one, for that
alone changes it a little; until edition 2 the tuned one was read beside the file as it came. And
the file of weights is hashed again after all the prompting.
"""

from __future__ import annotations

from pathlib import Path

from localprompt.errors import MachineError
from localprompt.evidence import data
from localprompt.evidence.experiment import Outcome
from localprompt.evidence.figures import gain, once, score
from localprompt.evidence.lab import Answers, Lab
from localprompt.evidence.recipes import LARGEST
from localprompt.evidence.searching import SearchPlan
from localprompt.models.checksum import sha256_of
from localprompt.models.quality.measure import load_text
from localprompt.models.quality.reading import Comparison
from localprompt.records.evidence import Condition, Figure, Group, Note, Rule
from localprompt.records.model import ModelRecord
from localprompt.records.quality import Perplexity

QUESTIONS, PROMPT = "general-knowledge.csv", "general-question"


class Knowledge:
    number = 9
    name = "knowledge"
    edition = 2
    rule = Rule(
        supported=(
            Condition("files_changed_by_prompting", "value", "=", 0),
            Condition("ratio_perplexity_tuned", "low", ">", 1),
        ),
        refuted=(
            Condition("files_changed_by_prompting", "value", ">", 0),
            Condition("ratio_perplexity_tuned", "high", "<", 1),
        ),
    )
    seconds = 120.0
    tunings = (LARGEST,)
    searches: tuple[SearchPlan, ...] = ()

    def inputs(self, lab: Lab) -> dict[str, str]:
        files = (data.dataset(QUESTIONS), data.prompt(PROMPT))
        return {"data": data.digest(*files), "text": load_text(None).name}

    def run(self, lab: Lab) -> Outcome:
        lab.step("questions of general knowledge before tuning")
        before = lab.ask(data.prompt(PROMPT), data.dataset(QUESTIONS), cached=False)
        changed = sha256_of(Path(lab.model.path), fresh=True) != lab.model.sha256
        unchanged = once("files_changed_by_prompting", int(changed), "count")
        if lab.adapters:
            return _adapted(lab, unchanged, before)
        try:
            tuned = lab.tuned_model(LARGEST)
        except MachineError as error:
            return Outcome((unchanged, score("score_general_before", before)), prevented=str(error))
        lab.step("the same questions after tuning")
        after = lab.ask(data.prompt(PROMPT), data.dataset(QUESTIONS), tuned)
        text, untouched = load_text(None).text, _there_and_back(lab)
        lab.step("ordinary text, read by the tuned model and by the untouched one, converted alike")
        read = lab.compare_texts(tuned, text, untouched)
        lab.step("what the conversions alone did")
        control = lab.compare_texts(untouched, text)
        return Outcome(
            figures=(
                unchanged,
                _ratio("ratio_perplexity_tuned", read),
                _ratio("ratio_perplexity_untouched", control),
                gain("gain_general", before.passed, after.passed),
            ),
            groups=(
                _scores(before, after),
                _perplexities(read),
            ),
        )


def _adapted(lab: Lab, unchanged: Figure, before: Answers) -> Outcome:
    """With adapters that were made elsewhere: the same file with them and without, so that no
    conversion needs a control."""
    lab.step("the same questions with the adapter")
    cases = data.dataset(QUESTIONS)
    after = lab.ask(data.prompt(PROMPT), cases, adapters=lab.adapters)
    lab.step("ordinary text, read with the adapter and without")
    read = lab.compare_adapted(load_text(None).text)
    return Outcome(
        figures=(
            unchanged,
            _ratio("ratio_perplexity_tuned", read),
            gain("gain_general", before.passed, after.passed),
        ),
        groups=(_scores(before, after), _perplexities(read)),
        notes=(Note("adapter_knowledge", {"adapters": lab.adapter_names}),),
    )


def _scores(before: Answers, after: Answers) -> Group:
    return Group(
        "general", (score("score_general_before", before), score("score_general_after", after))
    )


def _perplexities(read: Comparison) -> Group:
    return Group(
        "perplexity",
        (
            _perplexity("perplexity_before", read.parent),
            _perplexity("perplexity_after", read.model),
        ),
    )


def _there_and_back(lab: Lab) -> ModelRecord:
    """The parent, unpacked and quantized again."""
    full = lab.converted("F32")
    path = lab.folder / f"{lab.model.name}-{(lab.model.sha256 or '')[:16]}-again.gguf"
    if not path.exists():
        draft = path.with_suffix(".part")
        lab.tools.convert(full, draft, lab.model.quantization or "Q4_1")
        draft.replace(path)
    return lab.find_model(str(path))


def _ratio(name: str, read: Comparison) -> Figure:
    found = read.divergence
    return Figure(name, found.ratio, "ratio", "measured", found.ratio_interval, found.tokens)


def _perplexity(name: str, found: Perplexity) -> Figure:
    return Figure(name, found.value, "perplexity", "measured", found.interval, found.tokens)
