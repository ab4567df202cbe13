"""A search, from the original's first block to the proof.

    1  wordings race on the search part; the original runs along
    2  small changes race on the best two wordings of a closed question, the best then together
    3  sets of examples race on the best so far, on the cases that are in none of them
    4  ways to make free answers race on the best so far
    5  closed answers are weighed in every way that the search part leads to; the best few meet on
       the selection part; what won there, and before, is the winner
    6  winner and original answer the final part, once

Everything is stored as soon as it is there. The final part's cases go to the model in step 6 and
nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from localprompt.improve.alone import alone_on
from localprompt.improve.answers import answerings
from localprompt.improve.asking import Asker
from localprompt.improve.budget import PACE_FROM, Budget, BudgetSpentError, share_of
from localprompt.improve.costs import MeasureCost, weighed_template
from localprompt.improve.details import Change, changes_of
from localprompt.improve.examples import (
    MOST_POOL,
    can_take_block,
    can_take_examples,
    example_of,
    nearest_of,
    sets_of,
    usable,
)
from localprompt.improve.field import Field
from localprompt.improve.final import compare_finally
from localprompt.improve.judging import (
    best_weighing,
    judged,
    likelihood,
    standing,
)
from localprompt.improve.opening import Setting
from localprompt.improve.race import FIRST, SMALL_FIRST, Run, race
from localprompt.improve.variants import Variant
from localprompt.improve.wordings import Wording, rewrites
from localprompt.records.improvement import Improvement, Weighing
from localprompt.sources.suite.records import EvalCase

FINALISTS = 5
_FINALISTS_CUT = 3
"""Of a search that a limit cut short."""
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
        self._metric = setting.metric
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
            ranked = self._wordings()
            for stage in (self._details, self._examples, self._answers):
                ranked = stage(ranked)
        except BudgetSpentError as spent:
            self._record = msgspec.structs.replace(self._record, stopped=str(spent))
            ranked = self._field.by_search
        winner, weighing = self._select(ranked)
        alone = tuple(alone_on(self._parts.selection, self._field, winner, weighing))
        self._record = msgspec.structs.replace(self._record, alone=alone)
        self._prove(winner, weighing)
        return self._record, winner

    # ---- 1: wordings

    def _wordings(self) -> list[str]:
        """The wordings, best first; the original's alone where they are not searched."""
        original = self._field.original
        self._field.ask(original, self._parts.search[:1])  # whatever is wrong shows here
        self._field.ask(original, self._field.raced[:PACE_FROM])  # and how fast the model is
        if "wordings" in self._request.search:
            for wording in (
                *self._setting.own_wordings,
                *self._more_wordings,
                *rewrites(self._template),
            ):
                self._field.add(Variant(wording))
        runs = self._race("wordings", list(self._field.variants), self._field.raced)
        return [key for key, run in runs.items() if run.rounds] or [self._field.original.key]

    # ---- 2: details of closed questions

    def _details(self, ranked: list[str]) -> list[str]:
        """The best two wordings with one small change each, then the best changes together."""
        if "wordings" not in self._request.search or not self._template.choices:
            return ranked
        best = ranked[:2]
        possible = changes_of(self._template, self._setting.label_sets)
        made: dict[str, Change] = {}
        for key in best:
            for change in possible:
                wording = change.made(self._field.variants[key].wording)
                if wording is not None:
                    made.setdefault(self._field.add(Variant(wording)), change)
        if not made:
            return ranked
        runs = self._race("details", [*best, *made], self._field.raced)
        ranked = _ahead(runs, ranked)
        leader, first = self._field.variants[ranked[0]].wording, made.get(ranked[0])
        others = [made[key] for key in runs if key in made] if first else []
        together = (other.made(leader) for other in others if first and other.kind != first.kind)
        both = next(filter(None, together), None)
        if both is None:
            return ranked
        added = self._field.add(Variant(both))
        return self._then("details", ranked, [ranked[0], added], self._field.raced)

    # ---- 3: examples

    def _examples(self, ranked: list[str]) -> list[str]:
        """The best so far with sets of examples."""
        base = self._field.variants[ranked[0]]
        cases = usable(self._parts.search)
        if "examples" not in self._request.search or not can_take_examples(base.wording.body):
            return ranked
        able = {case.id for case in cases}
        pool = [case for case in self._field.raced if case.id in able]
        pool = pool[: min(MOST_POOL, len(self._field.raced) // 3)]
        there = {case.id for case in pool}
        rest = [case for case in self._field.raced if case.id not in there]
        if len(pool) < 2 or not rest:
            return ranked
        hard = {one.case_id for one in self._field.judged(base, pool)[1] if one.value == 0}
        as_text = can_take_block(base.wording.body)
        drawn = sets_of(pool, seed=self._request.seed, hard=hard, as_text=as_text)
        solved = [example_of(case) for case in cases]
        near = [tuple(nearest_of(solved))]
        if self._request.nearest_by is not None:
            near.append(tuple(nearest_of(*self._asker.embedded(solved, self._request.nearest_by))))
        usual = [sets[min(1, len(sets) - 1)] for sets in near if sets]
        keys = [
            base.key,
            *(self._field.add(Variant(base.wording, one)) for one in (*drawn, *usual)),
        ]
        self._raced_examples = True
        ranked = self._then("examples", ranked, keys, rest)
        # Chosen anew for each case they are many times as dear as others: more of them are asked
        # where some did best.
        best = self._field.variants[ranked[0]].examples
        more = next((sets for sets in near if best in sets), ())
        keys = [self._field.add(Variant(base.wording, one)) for one in more]
        others = [key for key in keys if key != ranked[0]]
        return self._then("examples", ranked, [ranked[0], *others], rest) if others else ranked

    # ---- 4: how free answers are made

    def _answers(self, ranked: list[str]) -> list[str]:
        """The best so far with other lengths, ends and draws."""
        if "answers" not in self._request.search:
            return ranked
        base = self._field.variants[ranked[0]]
        added = [
            self._field.add(msgspec.structs.replace(base, answering=way))
            for way in answerings(self._template)
        ]
        if not added:
            return ranked
        able = [case for case in self._field.raced if case.id not in base.examples.cases]
        return self._then("answers", ranked, [base.key, *added], able)

    # ---- 5: weighing and selection

    def _select(self, ranked: Sequence[str]) -> tuple[Variant, Weighing]:
        """The best few on the selection part; what counts is the cases that all of them answered
        and none of them shows, of both parts."""
        able = [key for key in ranked if self._field.trials[key].out is None or key == ranked[0]]
        most = FINALISTS if self._record.stopped is None else _FINALISTS_CUT
        keys = [
            key
            for key in dict.fromkeys([self._field.original.key, *able[:most]])
            if self._meets_selection(key)
        ]
        shown = {one for key in keys for one in self._field.variants[key].examples.cases}
        both = [case for case in self._field.raced if case.id not in shown]
        both = [c for c in both if all(c.id in self._field.results[key] for key in keys)]
        both += [case for case in self._parts.selection if case.id not in shown]
        best: tuple[float, str, Weighing] | None = None
        for key in keys:
            value, weighing = self._weighed(key, both)
            if self._field.within_bounds(key) and (best is None or value > best[0]):
                best = (value, key, weighing)
        self._save()
        if best is None:
            return self._field.original, self._field.own
        return self._field.variants[best[1]], best[2]

    def _meets_selection(self, key: str) -> bool:
        """Have a finalist answer what it has not yet; False: it is given up."""
        variant = self._field.variants[key]
        self._tell("selection", key)
        try:
            if self._record.stopped is None:
                self._field.ask(variant, self._field.raced)
            self._field.ask(variant, self._parts.selection)
        except ValueError as error:
            self._field.change(key, out=str(error))
            return False
        return True

    def _weighed(self, key: str, both: Sequence[EvalCase]) -> tuple[float, Weighing]:
        """What a finalist is ranked by over the cases of both parts, and how it weighs best."""
        variant, results = self._field.variants[key], self._field.results[key]
        weighing, found = best_weighing(
            both, results, self._field.ways(variant, fitted=True), self._metric
        )
        searched = [case for case in both if case in self._field.raced]
        value = likelihood(both, results, self._metric)
        self._field.change(
            key,
            weighing=weighing,
            likelihood=value,
            search=standing(judged(searched, results, weighing, self._metric), self._metric),
            selection=standing(
                judged(self._parts.selection, results, weighing, self._metric), self._metric
            ),
        )
        self._cost(variant, weighing)
        return standing(found, self._metric).value if value is None else value, weighing

    # ---- 6: the proof

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

    # ---- what the stages share

    def _then(
        self, stage: str, ranked: list[str], keys: list[str], cases: Sequence[EvalCase]
    ) -> list[str]:
        """What was best until now, after another race."""
        return _ahead(self._race(stage, keys, cases), ranked)

    def _race(self, stage: str, keys: list[str], cases: Sequence[EvalCase]) -> dict[str, Run]:
        kept = self._field.original.key if self._field.original.key in keys else keys[0]
        for key in keys:  # what was answered in an earlier race is in its grid
            known = self._field.results.get(key, {})
            self._full_grid += sum(case.id not in known for case in cases)

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
            probable = likelihood(seen, self._field.results.get(key, {}), self._metric)
            return reached.value if probable is None else probable

        def on_round(runs: Any) -> None:
            for key, run in runs.items():
                self._field.change(key, out=run.out)
            going = [key for key, run in runs.items() if run.out is None]
            leader = max(going, key=lambda key: runs[key].value, default=None)
            self._save()
            self._tell(stage, leader, left=len(going))

        share = share_of(stage, self._stages())

        def room(answers: int) -> bool:
            if self._budget.has_room(answers, share):
                return True
            self._record = msgspec.structs.replace(self._record, stopped=self._budget.limit)
            return False

        tight = not self._budget.has_room(round(len(keys) * len(cases) * FIRST), share)
        first = SMALL_FIRST if tight else FIRST
        runs = race(
            keys, cases, ask, values, score, kept=kept, first=first, room=room, on_round=on_round
        )
        for key, run in runs.items():
            self._field.change(key, out=run.out)
        return runs

    def _stages(self) -> list[str]:
        """Those that will take place."""
        searched, closed = self._request.search, bool(self._template.choices)
        coming = {
            "wordings": True,
            "details": closed and "wordings" in searched,
            "examples": "examples" in searched,
            "answers": not closed and "answers" in searched,
        }
        return [name for name, comes in coming.items() if comes]

    def _cost(self, variant: Variant, weighing: Weighing) -> None:
        """Measure what one answer takes; not those that come after a spent budget."""
        if self._measure_cost is None or not self._budget.has_room(0, 1.0):
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
        """What the rest takes if it goes on as it did: a race asks about a third of its grid. What
        the user's limits leave for searching is the most."""
        asked = self._asker.evaluations - self._asker.cached
        if not asked:
            return None
        parts, raced = self._parts, len(self._field.raced)
        expected = _OF_A_RACE * len(self._field.variants) * raced
        if "examples" in self._request.search and not self._raced_examples:
            expected += _OF_A_RACE * _USUAL_SETS * raced * 2 / 3
        left = max(0.0, expected - self._asker.evaluations)
        left = min(left, self._budget.cases_left())
        left += FINALISTS * len(parts.selection) + 2 * len(parts.final)
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
                leader=None if trial is None else f"{trial.asked}; examples: {trial.examples}",
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


def _ahead(runs: Mapping[str, Run], ranked: Sequence[str]) -> list[str]:
    """Best first: whoever came to a race's end goes before what was best until then, and nobody who
    led is forgotten."""
    best = [key for key, run in runs.items() if run.rounds and run.out is None]
    return list(dict.fromkeys((*best, *ranked)))
