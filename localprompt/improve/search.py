"""A search, from the original's first block to the proof.

    1  wordings race on the search part; the original runs along
    2  sets of examples race on the best wording, on the cases that are in none of them
    3  closed answers are weighed in every way that the search part leads to
    4  the best few meet on the selection part; what won there, and before, is the winner
    5  winner and original answer the final part, once

Everything is stored as soon as it is there. The final part's cases go to the model in step 5 and
nowhere else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from localprompt.errors import LocalPromptError
from localprompt.evaluate.requests import CONTENT_FREE
from localprompt.improve.asking import Asker
from localprompt.improve.budget import Budget, BudgetSpentError
from localprompt.improve.examples import (
    MOST_POOL,
    NONE,
    can_take_examples,
    nearest_of,
    sets_of,
    usable,
)
from localprompt.improve.final import compare_finally
from localprompt.improve.judging import (
    Judged,
    best_weighing,
    judged,
    standing,
    weighings,
)
from localprompt.improve.opening import Setting
from localprompt.improve.race import Run, race
from localprompt.improve.variants import Variant
from localprompt.improve.wordings import AS_IT_IS, Wording, rewrites
from localprompt.records.evaluation import CaseResult
from localprompt.records.improvement import Alone, Improvement, Searched, Trial, Weighing
from localprompt.sources.suite.records import EvalCase
from localprompt.stats.paired import compare_scores
from localprompt.stats.samples import median

FINALISTS = 5
MOST_RACED = 160
"""Cases of the search part that candidates race on: what more would tell is told better by the
selection part, which costs five candidates and not forty."""

Keep = Callable[[Improvement], None]


class Progress(msgspec.Struct, frozen=True):
    """Where a search stands."""

    stage: str
    asked: int
    leader: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    left: int | None = None
    """Candidates that are still in."""


OnProgress = Callable[[Progress], None]


class Search:
    """One search under way.

    Args:
        setting: what it is about.
        keep: stores the record.
        more_wordings: those that a model wrote.
    """

    def __init__(
        self,
        setting: Setting,
        asker: Asker,
        *,
        keep: Keep,
        more_wordings: Sequence[Wording] = (),
        on_progress: OnProgress = lambda _: None,
    ) -> None:
        self._setting = setting
        self._template = setting.template
        self._request = setting.improvement.request
        self._metric = self._request.metric
        self._parts = setting.parts
        self._asker = asker
        self._keep = keep
        self._on_progress = on_progress
        self._more_wordings = more_wordings
        self._budget = Budget(self._request, asker)
        self._original = Variant(Wording(AS_IT_IS, self._template.body))
        self._own = Weighing("raw", self._template.per_byte, dict(self._template.bias))
        self._variants: dict[str, Variant] = {}
        self._results: dict[str, dict[str, CaseResult]] = {}
        self._free: dict[str, dict[str, float] | None] = {}
        self._trials: dict[str, Trial] = {}
        self._raced = _drawn(self._parts.search, self._request.seed)
        self._record = setting.improvement
        self._full_grid = self._asked_racing = 0
        self._add(self._original)

    def run(self) -> tuple[Improvement, Variant]:
        """Search; the record with the outcome, stored, and the winner.

        Raises:
            LocalPromptError: the original cannot be asked, or the history cannot be written.
        """
        self._save()
        try:
            wordings = self._wordings()
            ranked = self._examples(wordings)
        except BudgetSpentError as spent:
            self._record = msgspec.structs.replace(self._record, stopped=str(spent))
            ranked = self._by_search()
        winner, weighing = self._select(ranked)
        self._alone(winner, weighing)
        self._prove(winner, weighing)
        return self._record, winner

    # ---- 1: wordings

    def _wordings(self) -> list[str]:
        """The wordings, best first; the original's alone where they are not searched."""
        self._ask(self._original, self._parts.search[:1])  # whatever is wrong shows here
        if "wordings" in self._request.search:
            for wording in (
                *self._setting.own_wordings,
                *self._more_wordings,
                *rewrites(self._template),
            ):
                self._add(Variant(wording))
        runs = self._race("wordings", list(self._variants), self._raced)
        return [key for key, run in runs.items() if run.rounds]

    # ---- 2: examples

    def _examples(self, wordings: Sequence[str]) -> list[str]:
        """Everything that was tried, best first."""
        base = self._variants[wordings[0]]
        cases = usable(self._parts.search)
        if "examples" not in self._request.search or not can_take_examples(base.wording.body):
            return list(wordings)
        able = {case.id for case in cases}
        pool = [case for case in self._raced if case.id in able]
        pool = pool[: min(MOST_POOL, len(self._raced) // 3)]
        there = {case.id for case in pool}
        rest = [case for case in self._raced if case.id not in there]
        if len(pool) < 2 or not rest:
            return list(wordings)
        hard = {one.case_id for one in self._judged(base, pool)[1] if one.value == 0}
        sets = (*sets_of(pool, seed=self._request.seed, hard=hard), *nearest_of(cases))
        keys = [base.key, *(self._add(Variant(base.wording, one)) for one in sets)]
        runs = self._race("examples", keys, rest)
        best = [key for key, run in runs.items() if run.rounds and run.out is None]
        return list(dict.fromkeys((*wordings[:2], *best, *wordings[2:])))

    # ---- 3 and 4: weighing and selection

    def _select(self, ranked: Sequence[str]) -> tuple[Variant, Weighing]:
        """The best few on the selection part; what counts is both parts together."""
        able = [key for key in ranked if self._trials[key].out is None or key == ranked[0]]
        keys = list(dict.fromkeys([self._original.key, *able[:FINALISTS]]))
        best: tuple[float, str, Weighing] | None = None
        both = (*self._raced, *self._parts.selection)
        for key in keys:
            variant = self._variants[key]
            self._tell("selection", key)
            try:
                if self._record.stopped is None:
                    self._ask(variant, self._raced)
                self._ask(variant, self._parts.selection)
            except ValueError as error:
                self._change(key, out=str(error))
                continue
            ways = self._ways(variant, fitted=True)
            results = self._results[key]
            asked = [case for case in both if case.id not in variant.examples.cases]
            weighing, _ = best_weighing(asked, results, ways, self._metric)
            searched = [case for case in asked if case in self._raced]
            selected = judged(self._parts.selection, results, weighing, self._metric)
            self._change(
                key,
                weighing=weighing,
                search=standing(judged(searched, results, weighing, self._metric), self._metric),
                selection=standing(selected, self._metric),
            )
            value = standing(judged(asked, results, weighing, self._metric), self._metric).value
            if self._within_bounds(key) and (best is None or value > best[0]):
                best = (value, key, weighing)
        self._save()
        if best is None:
            return self._original, self._own
        return self._variants[best[1]], best[2]

    def _ways(self, variant: Variant, *, fitted: bool) -> list[Weighing]:
        """How the variant's closed answers could be weighed."""
        ways = [self._own]
        if "scoring" in self._request.search and self._template.choices:
            asked = [c for c in self._raced if c.id not in variant.examples.cases]
            results = self._results.get(variant.key, {})
            found = weighings(asked, results, free=self._habit(variant), fitted=fitted)
            ways += [way for way in found if way != self._own]
        return ways

    def _habit(self, variant: Variant) -> dict[str, float] | None:
        """The choices after the prompt without content; None where there is no such prompt."""
        if variant.key not in self._free:
            names = self._parts.search[0].vars
            case = EvalCase(id="without content", index=0, vars=dict.fromkeys(names, CONTENT_FREE))
            try:
                found = self._asker.ask(variant.template(self._template), [case])
                self._free[variant.key] = found[case.id].log_probabilities
            except LocalPromptError:
                self._free[variant.key] = None
        return self._free[variant.key]

    # ---- 5: the proof

    def _prove(self, winner: Variant, weighing: Weighing) -> None:
        """Original and winner on the final part."""
        final = self._parts.final
        self._tell("final", winner.key)
        same = winner.key == self._original.key and weighing == self._own
        before = self._asker.ask(self._original.template(self._template), final)
        after = before if same else self._asker.ask(winner.template(self._template), final)
        compared = compare_finally(
            final,
            judged(final, before, self._own, self._metric),
            judged(final, after, weighing, self._metric),
            self._metric,
        )
        self._change(winner.key, weighing=weighing)
        self._record = msgspec.structs.replace(
            self._record, winner=winner.key, final=compared, seconds=self._budget.seconds
        )
        self._save()

    def _alone(self, winner: Variant, weighing: Weighing) -> None:
        """What each of the winner's changes gives by itself, on the selection part."""
        cases = self._parts.selection
        usual = judged(cases, self._results[self._original.key], self._own, self._metric)
        tried: list[tuple[Searched, str, Variant, str]] = []
        if winner.wording != self._original.wording:
            tried.append(("wordings", winner.wording.name, Variant(winner.wording), "raw"))
        if winner.examples != NONE and can_take_examples(self._original.wording.body):
            alone = Variant(self._original.wording, winner.examples)
            tried.append(("examples", winner.examples.name, alone, "raw"))
        if weighing != self._own:
            tried.append(("scoring", weighing.name, self._original, weighing.name))
        found = []
        for change, what, variant, way in tried if len(tried) > 1 else ():
            self._add(variant)
            try:
                self._ask(variant, cases)
            except ValueError:
                continue
            ways: dict[str, Weighing] = {
                one.name: one for one in self._ways(variant, fitted=way == "fitted")
            }
            chosen = self._own if way == "raw" else ways.get(way, self._own)
            theirs = judged(cases, self._results[variant.key], chosen, self._metric)
            pairs = [
                (a.value, b.value)
                for a, b in zip(usual, theirs, strict=True)
                if a.value is not None and b.value is not None
            ]
            if pairs:
                compared = compare_scores([a for a, _ in pairs], [b for _, b in pairs])
                found.append(Alone(change, what, compared.difference, compared.interval))
        self._record = msgspec.structs.replace(self._record, alone=tuple(found))

    # ---- what the stages share

    def _race(self, stage: str, keys: list[str], cases: Sequence[EvalCase]) -> dict[str, Run]:
        kept = self._original.key if self._original.key in keys else keys[0]
        self._full_grid += len(keys) * len(cases)

        def ask(key: str, block: Sequence[EvalCase]) -> None:
            self._budget.check(len(block))
            before = self._asker.evaluations
            self._ask(self._variants[key], block)
            self._asked_racing += self._asker.evaluations - before

        def values(key: str, seen: Sequence[EvalCase]) -> list[float | None]:
            return [one.value for one in self._judged(self._variants[key], seen)[1]]

        def score(key: str, seen: Sequence[EvalCase]) -> float:
            weighing, found = self._judged(self._variants[key], seen)
            reached = standing(found, self._metric)
            self._change(key, weighing=weighing, search=reached)
            return reached.value

        def on_round(runs: Any) -> None:
            for key, run in runs.items():
                self._change(key, out=run.out)
            going = [key for key, run in runs.items() if run.out is None]
            leader = max(going, key=lambda key: runs[key].value, default=None)
            self._save()
            self._tell(stage, leader, left=len(going))

        runs = race(keys, cases, ask, values, score, kept=kept, on_round=on_round)
        for key, run in runs.items():
            self._change(key, out=run.out)
        return runs

    def _judged(self, variant: Variant, cases: Sequence[EvalCase]) -> tuple[Weighing, list[Judged]]:
        """The variant's answers to those of these cases that it has seen, weighed at its best."""
        results = self._results.get(variant.key, {})
        ways = self._ways(variant, fitted=False)
        return best_weighing(cases, results, ways, self._metric)

    def _ask(self, variant: Variant, cases: Sequence[EvalCase]) -> None:
        """Have the variant answer those of the cases that it has not.

        Raises:
            ValueError: it is given up: too long for the context, or for the user's bounds.
        """
        known = self._results.setdefault(variant.key, {})
        left = [c for c in cases if c.id not in known and c.id not in variant.examples.cases]
        if not left:
            return
        template = variant.template(self._template)
        self._count_tokens(variant, left)
        found = self._asker.ask(template, left)
        overflown = next((one.error for one in found.values() if one.error), None)
        if overflown is not None and variant.key != self._original.key:
            raise ValueError(overflown.splitlines()[0])
        known.update(found)

    def _count_tokens(self, variant: Variant, cases: Sequence[EvalCase]) -> None:
        trial = self._trials[variant.key]
        if trial.prompt_tokens is not None:
            return
        template = variant.template(self._template)
        try:
            lengths = [self._asker.tokens_of(template, case) for case in cases[:8]]
        except LocalPromptError as error:
            if variant.key == self._original.key:
                return  # its cases say what is wrong with them
            raise ValueError(str(error)) from error
        whole = median([float(n) for n, _ in lengths])
        own = median([float(n) for _, n in lengths])
        self._change(variant.key, prompt_tokens=whole, own_tokens=own)
        most = self._request.max_prompt_tokens
        if most is not None and whole > most and variant.key != self._original.key:
            raise ValueError(f"{whole:.0f} prompt tokens, allowed are {most}")

    def _within_bounds(self, key: str) -> bool:
        most, trial = self._request.max_prompt_tokens, self._trials[key]
        return most is None or trial.prompt_tokens is None or trial.prompt_tokens <= most

    def _by_search(self) -> list[str]:
        """What was asked so far, best first."""
        asked = [t for t in self._trials.values() if t.search is not None]
        asked.sort(key=lambda t: (-(t.search.cases if t.search else 0), -_value(t)))
        return [trial.key for trial in asked] or [self._original.key]

    def _add(self, variant: Variant) -> str:
        key = variant.key
        if key not in self._variants:
            self._variants[key] = variant
            own = self._template.examples is not None and variant.examples == NONE
            self._trials[key] = Trial(
                key=key,
                wording=variant.wording.name,
                examples="its own" if own else variant.examples.name,
                body=variant.template(self._template).body,
            )
        return key

    def _change(self, key: str, **changes: Any) -> None:
        self._trials[key] = msgspec.structs.replace(self._trials[key], **changes)

    def _tell(self, stage: str, key: str | None, left: int | None = None) -> None:
        trial = self._trials.get(key or "")
        reached = trial.search if trial else None
        interval = reached.interval if reached else None
        self._on_progress(
            Progress(
                stage=stage,
                asked=self._asker.evaluations,
                leader=None if trial is None else f"{trial.wording}; examples: {trial.examples}",
                value=reached.value if reached else None,
                low=interval.low if interval else None,
                high=interval.high if interval else None,
                left=left,
            )
        )

    def _save(self) -> None:
        self._record = msgspec.structs.replace(
            self._record,
            trials=tuple(self._trials.values()),
            original=self._original.key,
            evaluations=self._asker.evaluations,
            cached=self._asker.cached,
            tokens=self._asker.tokens,
            raced=self._asked_racing,
            full_grid=self._full_grid,
        )
        self._keep(self._record)


def _drawn(cases: Sequence[EvalCase], seed: int) -> list[EvalCase]:
    """At most MOST_RACED of the cases, in an order by lot: the first block is like the others."""
    drawn = list(cases)
    random.Random(seed).shuffle(drawn)  # noqa: S311 - no secret
    return drawn[:MOST_RACED]


def _value(trial: Trial) -> float:
    return trial.search.value if trial.search else 0.0
