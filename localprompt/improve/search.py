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

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from localprompt.improve.asking import Asker
from localprompt.improve.budget import Budget, BudgetSpentError
from localprompt.improve.costs import MeasureCost, weighed_template
from localprompt.improve.examples import (
    MOST_POOL,
    NONE,
    can_take_examples,
    nearest_of,
    sets_of,
    usable,
)
from localprompt.improve.field import Field
from localprompt.improve.final import compare_finally
from localprompt.improve.judging import (
    best_weighing,
    judged,
    standing,
)
from localprompt.improve.opening import Setting
from localprompt.improve.race import Run, race
from localprompt.improve.variants import Variant
from localprompt.improve.wordings import Wording, rewrites
from localprompt.records.improvement import Alone, Improvement, Searched, Weighing
from localprompt.sources.suite.records import EvalCase
from localprompt.stats.paired import compare_scores

FINALISTS = 5
_OF_A_RACE = 0.36
"""The share of its grid that a race asks."""
_USUAL_SETS = 14

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
    seconds_left: float | None = None
    """Estimated from what was asked so far; None: nothing was asked anew."""


OnProgress = Callable[[Progress], None]


class Search:
    """One search under way.

    Args:
        setting: what it is about.
        keep: stores the record.
        measure_cost: of one answer of a finalist; None: it is not measured.
        more_wordings: those that a model wrote.
    """

    def __init__(
        self,
        setting: Setting,
        asker: Asker,
        *,
        keep: Keep,
        measure_cost: MeasureCost | None = None,
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
        self._measure_cost = measure_cost
        self._on_progress = on_progress
        self._more_wordings = more_wordings
        self._budget = Budget(self._request, asker)
        self._field = Field(setting, asker)
        self._record = setting.improvement
        self._full_grid = self._asked_racing = 0
        self._raced_examples = False

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
            ranked = self._field.by_search
        winner, weighing = self._select(ranked)
        self._alone(winner, weighing)
        self._prove(winner, weighing)
        return self._record, winner

    # ---- 1: wordings

    def _wordings(self) -> list[str]:
        """The wordings, best first; the original's alone where they are not searched."""
        self._field.ask(
            self._field.original, self._parts.search[:1]
        )  # whatever is wrong shows here
        if "wordings" in self._request.search:
            for wording in (
                *self._setting.own_wordings,
                *self._more_wordings,
                *rewrites(self._template),
            ):
                self._field.add(Variant(wording))
        runs = self._race("wordings", list(self._field.variants), self._field.raced)
        return [key for key, run in runs.items() if run.rounds]

    # ---- 2: examples

    def _examples(self, wordings: Sequence[str]) -> list[str]:
        """Everything that was tried, best first."""
        base = self._field.variants[wordings[0]]
        cases = usable(self._parts.search)
        if "examples" not in self._request.search or not can_take_examples(base.wording.body):
            return list(wordings)
        able = {case.id for case in cases}
        pool = [case for case in self._field.raced if case.id in able]
        pool = pool[: min(MOST_POOL, len(self._field.raced) // 3)]
        there = {case.id for case in pool}
        rest = [case for case in self._field.raced if case.id not in there]
        if len(pool) < 2 or not rest:
            return list(wordings)
        hard = {one.case_id for one in self._field.judged(base, pool)[1] if one.value == 0}
        sets = (*sets_of(pool, seed=self._request.seed, hard=hard), *nearest_of(cases))
        keys = [base.key, *(self._field.add(Variant(base.wording, one)) for one in sets)]
        self._raced_examples = True
        runs = self._race("examples", keys, rest)
        best = [key for key, run in runs.items() if run.rounds and run.out is None]
        return list(dict.fromkeys((*wordings[:2], *best, *wordings[2:])))

    # ---- 3 and 4: weighing and selection

    def _select(self, ranked: Sequence[str]) -> tuple[Variant, Weighing]:
        """The best few on the selection part; what counts is both parts together."""
        able = [key for key in ranked if self._field.trials[key].out is None or key == ranked[0]]
        keys = list(dict.fromkeys([self._field.original.key, *able[:FINALISTS]]))
        best: tuple[float, str, Weighing] | None = None
        shown = {one for key in keys for one in self._field.variants[key].examples.cases}
        both = (*self._field.raced, *self._parts.selection)
        asked = [case for case in both if case.id not in shown]
        for key in keys:
            variant = self._field.variants[key]
            self._tell("selection", key)
            try:
                if self._record.stopped is None:
                    self._field.ask(variant, self._field.raced)
                self._field.ask(variant, self._parts.selection)
            except ValueError as error:
                self._field.change(key, out=str(error))
                continue
            ways = self._field.ways(variant, fitted=True)
            results = self._field.results[key]
            weighing, _ = best_weighing(asked, results, ways, self._metric)
            searched = [case for case in asked if case in self._field.raced]
            selected = judged(self._parts.selection, results, weighing, self._metric)
            self._field.change(
                key,
                weighing=weighing,
                search=standing(judged(searched, results, weighing, self._metric), self._metric),
                selection=standing(selected, self._metric),
            )
            self._cost(variant, weighing)
            value = standing(judged(asked, results, weighing, self._metric), self._metric).value
            if self._field.within_bounds(key) and (best is None or value > best[0]):
                best = (value, key, weighing)
        self._save()
        if best is None:
            return self._field.original, self._field.own
        return self._field.variants[best[1]], best[2]

    # ---- 5: the proof

    def _prove(self, winner: Variant, weighing: Weighing) -> None:
        """Original and winner on the final part."""
        final = self._parts.final
        self._tell("final", winner.key)
        same = winner.key == self._field.original.key and weighing == self._field.own
        before = self._asker.ask(self._field.original.template(self._template), final)
        after = before if same else self._asker.ask(winner.template(self._template), final)
        compared = compare_finally(
            final,
            judged(final, before, self._field.own, self._metric),
            judged(final, after, weighing, self._metric),
            self._metric,
        )
        self._field.change(winner.key, weighing=weighing)
        self._record = msgspec.structs.replace(
            self._record, winner=winner.key, final=compared, seconds=self._budget.seconds
        )
        self._save()

    def _alone(self, winner: Variant, weighing: Weighing) -> None:
        """What each of the winner's changes gives by itself, on the selection part."""
        cases = self._parts.selection
        usual = judged(
            cases, self._field.results[self._field.original.key], self._field.own, self._metric
        )
        tried: list[tuple[Searched, str, Variant, str]] = []
        if winner.wording != self._field.original.wording:
            tried.append(("wordings", winner.wording.name, Variant(winner.wording), "raw"))
        if winner.examples != NONE and can_take_examples(self._field.original.wording.body):
            alone = Variant(self._field.original.wording, winner.examples)
            tried.append(("examples", winner.examples.name, alone, "raw"))
        if weighing != self._field.own:
            tried.append(("scoring", weighing.name, self._field.original, weighing.name))
        found = []
        for change, what, variant, way in tried if len(tried) > 1 else ():
            self._field.add(variant)
            try:
                self._field.ask(variant, cases)
            except ValueError:
                continue
            ways: dict[str, Weighing] = {
                one.name: one for one in self._field.ways(variant, fitted=way == "fitted")
            }
            chosen = self._field.own if way == "raw" else ways.get(way, self._field.own)
            theirs = judged(cases, self._field.results[variant.key], chosen, self._metric)
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
        kept = self._field.original.key if self._field.original.key in keys else keys[0]
        self._full_grid += len(keys) * len(cases)

        def ask(key: str, block: Sequence[EvalCase]) -> None:
            self._budget.check(len(block))
            before = self._asker.evaluations
            self._field.ask(self._field.variants[key], block)
            self._asked_racing += self._asker.evaluations - before

        def values(key: str, seen: Sequence[EvalCase]) -> list[float | None]:
            return [one.value for one in self._field.judged(self._field.variants[key], seen)[1]]

        def score(key: str, seen: Sequence[EvalCase]) -> float:
            weighing, found = self._field.judged(self._field.variants[key], seen)
            reached = standing(found, self._metric)
            self._field.change(key, weighing=weighing, search=reached)
            return reached.value

        def on_round(runs: Any) -> None:
            for key, run in runs.items():
                self._field.change(key, out=run.out)
            going = [key for key, run in runs.items() if run.out is None]
            leader = max(going, key=lambda key: runs[key].value, default=None)
            self._save()
            self._tell(stage, leader, left=len(going))

        runs = race(keys, cases, ask, values, score, kept=kept, on_round=on_round)
        for key, run in runs.items():
            self._field.change(key, out=run.out)
        return runs

    def _cost(self, variant: Variant, weighing: Weighing) -> None:
        """Measure what one answer takes; not those that come after a spent budget."""
        if self._measure_cost is None or self._record.stopped is not None:
            return
        template = weighed_template(variant.template(self._template), weighing)
        cost = self._measure_cost(template, self._parts.search[0].vars)
        if cost is not None:
            self._field.change(
                variant.key,
                ttft_seconds=cost.ttft_seconds,
                peak_rss_bytes=cost.peak_rss_bytes,
            )

    def _seconds_left(self) -> float | None:
        """What the rest takes if it goes on as it did: a race asks about a third of its grid."""
        asked = self._asker.evaluations - self._asker.cached
        if not asked:
            return None
        parts, raced = self._parts, len(self._field.raced)
        expected = _OF_A_RACE * len(self._field.variants) * raced
        if "examples" in self._request.search and not self._raced_examples:
            expected += _OF_A_RACE * _USUAL_SETS * raced * 2 / 3
        expected += FINALISTS * len(parts.selection) + 2 * len(parts.final)
        left = max(0.0, expected - self._asker.evaluations)
        return left * self._budget.seconds / asked

    def _tell(self, stage: str, key: str | None, left: int | None = None) -> None:
        trial = self._field.trials.get(key or "")
        seconds_left = self._seconds_left()
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
                seconds_left=seconds_left,
            )
        )

    def _save(self) -> None:
        self._record = msgspec.structs.replace(
            self._record,
            trials=tuple(self._field.trials.values()),
            original=self._field.original.key,
            evaluations=self._asker.evaluations,
            cached=self._asker.cached,
            tokens=self._asker.tokens,
            raced=self._asked_racing,
            full_grid=self._full_grid,
        )
        self._keep(self._record)
