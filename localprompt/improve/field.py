"""The candidates of a search: what they are, what they answered, how they stand."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from localprompt.errors import LocalPromptError
from localprompt.evaluate.requests import CONTENT_FREE
from localprompt.improve.asking import Asker
from localprompt.improve.examples import NONE
from localprompt.improve.judging import Judged, best_weighing, weighings
from localprompt.improve.opening import Setting
from localprompt.improve.variants import Variant
from localprompt.improve.wordings import AS_IT_IS, Wording
from localprompt.records.evaluation import CaseResult
from localprompt.records.improvement import Trial, Weighing
from localprompt.sources.suite.records import EvalCase
from localprompt.stats.samples import median

MOST_RACED = 160
"""Cases of the search part that candidates race on: what more would tell is told better by the
selection part, which costs five candidates and not forty."""
_COUNTED = 8
"""Cases by which a candidate's tokens are counted."""


class Field:
    """Everything that was tried so far.

    Attributes:
        original: the user's prompt, and ``own``, how it weighs closed answers itself.
        metric: by which candidates are ranked.
        raced: the cases that candidates race on, in an order by lot.
        trials: the record of each candidate, by its key.
        results: its answers, by case id.
    """

    def __init__(self, setting: Setting, asker: Asker) -> None:
        self._template = setting.template
        self._request = setting.improvement.request
        self.metric = setting.metric
        self._search = setting.parts.search
        self._asker = asker
        self._graded = "judge" in setting.needs
        self._free: dict[str, dict[str, float] | None] = {}
        own_words = tuple(self._template.label_words.items())
        self.original = Variant(Wording(AS_IT_IS, self._template.body, own_words))
        self.own = Weighing("raw", self._template.per_byte, dict(self._template.bias))
        self.raced = _drawn(self._search, self._request.seed)
        self.variants: dict[str, Variant] = {}
        self.trials: dict[str, Trial] = {}
        self.results: dict[str, dict[str, CaseResult]] = {}
        self.add(self.original)

    @property
    def by_search(self) -> list[str]:
        """What was asked so far, best first."""
        asked = [t for t in self.trials.values() if t.search is not None]
        asked.sort(key=lambda t: (-(t.search.cases if t.search else 0), -_value(t)))
        return [trial.key for trial in asked] or [self.original.key]

    def add(self, variant: Variant) -> str:
        key = variant.key
        if key not in self.variants:
            self.variants[key] = variant
            own = self._template.examples is not None and variant.examples == NONE
            self.trials[key] = Trial(
                key=key,
                wording=variant.wording.name,
                examples="its own" if own else variant.examples.name,
                answers=variant.answering.name,
                body=variant.template(self._template).body,
            )
        return key

    def change(self, key: str, **changes: Any) -> None:
        self.trials[key] = msgspec.structs.replace(self.trials[key], **changes)

    def ask(self, variant: Variant, cases: Sequence[EvalCase]) -> None:
        """Have the variant answer those of the cases that it has not.

        Raises:
            ValueError: it is given up: too long for the context, or for the user's bounds.
        """
        known = self.results.setdefault(variant.key, {})
        left = [c for c in cases if c.id not in known and c.id not in variant.examples.cases]
        if not left:
            return
        template = variant.template(self._template)
        self._count_tokens(variant, left)
        found = self._asker.ask(template, left)
        overflown = next((one.error for one in found.values() if one.error), None)
        if overflown is not None and variant.key != self.original.key:
            raise ValueError(overflown.splitlines()[0])
        known.update(found)

    def _count_tokens(self, variant: Variant, cases: Sequence[EvalCase]) -> None:
        trial = self.trials[variant.key]
        if trial.prompt_tokens is not None:
            return
        template = variant.template(self._template)
        try:
            lengths = [self._asker.tokens_of(template, case) for case in cases[:_COUNTED]]
        except LocalPromptError as error:
            if variant.key == self.original.key:
                return  # its cases say what is wrong with them
            raise ValueError(str(error)) from error
        whole = median([float(n) for n, _ in lengths])
        own = median([float(n) for _, n in lengths])
        self.change(variant.key, prompt_tokens=whole, own_tokens=own)
        most = self._request.max_prompt_tokens
        if most is not None and whole > most and variant.key != self.original.key:
            raise ValueError(f"{whole:.0f} prompt tokens, allowed are {most}")

    def judged(self, variant: Variant, cases: Sequence[EvalCase]) -> tuple[Weighing, list[Judged]]:
        """The variant's answers to those of these cases that it has seen, weighed at its best."""
        results = self.results.get(variant.key, {})
        ways = self.ways(variant, fitted=False)
        return best_weighing(cases, results, ways, self.metric)

    def ways(self, variant: Variant, *, fitted: bool) -> list[Weighing]:
        """How the variant's closed answers could be weighed."""
        ways = [self.own]
        if self._graded:
            return ways  # another choice would have to be graded again
        if "scoring" in self._request.search and self._template.choices:
            asked = [c for c in self.raced if c.id not in variant.examples.cases]
            results = self.results.get(variant.key, {})
            found = weighings(asked, results, free=self._habit(variant), fitted=fitted)
            ways += [way for way in found if way != self.own]
        return ways

    def _habit(self, variant: Variant) -> dict[str, float] | None:
        """The choices after the prompt without content; None where there is no such prompt."""
        if variant.key not in self._free:
            names = self._search[0].vars
            case = EvalCase(id="without content", index=0, vars=dict.fromkeys(names, CONTENT_FREE))
            try:
                found = self._asker.ask(variant.template(self._template), [case])
                self._free[variant.key] = found[case.id].log_probabilities
            except LocalPromptError:
                self._free[variant.key] = None
        return self._free[variant.key]

    def within_bounds(self, key: str) -> bool:
        """Whether the candidate is inside the user's bounds; the original is out of nothing."""
        request, trial = self._request, self.trials[key]
        if key == self.original.key:
            return True
        tokens, seconds = trial.prompt_tokens, trial.ttft_seconds
        longest, slowest = request.max_prompt_tokens, request.max_ttft_seconds
        if slowest is not None and seconds is not None and seconds > slowest:
            self.change(key, out=f"TTFT {seconds:.2f} s, allowed are {slowest:g}")
            return False
        return longest is None or tokens is None or tokens <= longest


def _drawn(cases: Sequence[EvalCase], seed: int) -> list[EvalCase]:
    """At most MOST_RACED of the cases, in an order by lot: the first block is like the others."""
    drawn = list(cases)
    random.Random(seed).shuffle(drawn)  # noqa: S311 - no secret
    return drawn[:MOST_RACED]


def _value(trial: Trial) -> float:
    return trial.search.value if trial.search else 0.0
