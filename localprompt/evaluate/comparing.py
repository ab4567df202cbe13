"""Two evaluations, case by case: which is better, and whether that can be told.

Targets are paired by what they have in common: prompt and model; then the model alone where each
side has one prompt left for it (two versions of a prompt under different names); then the prompt
alone (two models). An evaluation compared with itself has every two of its targets compared.

Cases are paired by id. A case that was repeated counts once: it passed if most of its repetitions
did, and its score is their mean; repetitions are not independent, and counting each would promise
more than the cases can show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import combinations

import msgspec

from localprompt.errors import UnknownNameError
from localprompt.records.evaluation import (
    CaseResult,
    EvalComparison,
    EvalTarget,
    Evaluation,
    Flip,
    TargetComparison,
)
from localprompt.stats.paired import (
    PassComparison,
    ScoreComparison,
    cases_needed_for_rates,
    compare_passes,
    compare_scores,
    holm,
)
from localprompt.store.history import History

MOST_FLIPS = 200
MOST_COMPARED = 5_000
"""Cases above which nothing is compared without being asked for: it would take minutes."""


class _Case:
    """What repetitions of one case add up to."""

    __slots__ = ("answer", "metrics", "passed", "reason", "scores", "vars")

    def __init__(self, result: CaseResult) -> None:
        self.passed: list[bool] = []
        self.scores: list[float] = []
        self.metrics: dict[str, list[float]] = {}
        self.answer, self.reason, self.vars = result.answer, result.score.reason, result.vars

    def add(self, result: CaseResult) -> None:
        if result.score.passed is not None:
            self.passed.append(result.score.passed)
        if result.score.score is not None:
            self.scores.append(result.score.score)
        for name, total in result.score.metrics.items():
            if total.mean is not None:
                self.metrics.setdefault(name, []).append(total.mean)

    @property
    def verdict(self) -> bool | None:
        return sum(self.passed) * 2 > len(self.passed) if self.passed else None


def compare_evaluations(a: Evaluation, b: Evaluation, store: History) -> EvalComparison:
    """B against A; A against itself is every pair of its targets."""
    paired = list(paired_targets(a, b))
    pairs = _adjusted(_compared(a, b, paired, store))
    in_a, in_b = {i for i, _ in paired}, {j for _, j in paired}
    alone = a.id == b.id
    return EvalComparison(
        a=a,
        b=b,
        pairs=pairs,
        only_in_a=() if alone else _left(a, in_a),
        only_in_b=() if alone else _left(b, in_b),
        tests=_tests(pairs),
    )


def compare_targets(evaluation: Evaluation, a: int, b: int, store: History) -> EvalComparison:
    """Two targets of one evaluation, by their indices. Whoever looks at one pair of many has
    chosen it, so p-values stay adjusted for all pairs.

    Raises:
        ValueError: they are the same.
    """
    if a == b:
        raise ValueError("a target is compared with another one")
    every = [(a, b) if {i, j} == {a, b} else (i, j) for i, j in _every_pair(evaluation)]
    pairs = _adjusted(_compared(evaluation, evaluation, every, store))
    wanted = pairs[every.index((a, b))]
    return EvalComparison(
        a=evaluation, b=evaluation, pairs=(wanted,), only_in_a=(), only_in_b=(), tests=_tests(pairs)
    )


def compared_within(
    evaluation: Evaluation, pairs: tuple[TargetComparison, ...]
) -> EvalComparison | None:
    """Pairs of one evaluation, as a comparison of it with itself; None: there are none."""
    if not pairs:
        return None
    return EvalComparison(
        a=evaluation, b=evaluation, pairs=pairs, only_in_a=(), only_in_b=(), tests=_tests(pairs)
    )


def pairs_within(evaluation: Evaluation, store: History) -> tuple[TargetComparison, ...]:
    """Every pair of its targets, as a reader of its results wants to have them beside these."""
    if len(evaluation.targets) < 2 or evaluation.cases > MOST_COMPARED:
        return ()
    return compare_evaluations(evaluation, evaluation, store).pairs


def find_target(evaluation: Evaluation, name: str) -> int:
    """The index of the target with a name: its model's, its prompt's, both (``PROMPT, MODEL``), or
    a part of these that no other target has.

    Raises:
        UnknownNameError: no target has it, or more than one.
    """
    full = [f"{target.prompt}, {target.model.name}" for target in evaluation.targets]
    exact = [
        index
        for index, target in enumerate(evaluation.targets)
        if name in {target.model.name, target.prompt, full[index]}
    ]
    part = [index for index, one in enumerate(full) if name.lower() in one.lower()]
    found = exact or part
    if len(found) == 1:
        return found[0]
    raise UnknownNameError(
        f"{'more than one' if found else 'no'} model or prompt here is called {name!r}",
        where=evaluation.id,
        nearest=tuple(full[index] for index in found) or tuple(full),
    )


def paired_targets(a: Evaluation, b: Evaluation) -> Iterator[tuple[int, int]]:
    if a.id == b.id:
        yield from _every_pair(a)
        return
    left_a, left_b = dict(enumerate(a.targets)), dict(enumerate(b.targets))
    for same in (_prompt_and_model, _model, _prompt, _anything):
        groups: dict[object, tuple[list[int], list[int]]] = {}
        for side, left in enumerate((left_a, left_b)):
            for index, target in left.items():
                groups.setdefault(same(target), ([], []))[side].append(index)
        for ours, theirs in groups.values():
            if len(ours) == len(theirs) == 1:
                yield ours[0], theirs[0]
                del left_a[ours[0]], left_b[theirs[0]]


def _prompt_and_model(target: EvalTarget) -> object:
    return target.prompt, target.model.name


def _model(target: EvalTarget) -> object:
    return target.model.name


def _prompt(target: EvalTarget) -> object:
    return target.prompt


def _anything(target: EvalTarget) -> object:
    return None


def _every_pair(evaluation: Evaluation) -> list[tuple[int, int]]:
    return list(combinations(range(len(evaluation.targets)), 2))


def _compared(
    a: Evaluation, b: Evaluation, pairs: Iterable[tuple[int, int]], store: History
) -> Iterator[TargetComparison]:
    """The cases of two targets are in memory at a time, however many pairs there are."""
    at, ours = -1, dict[str, _Case]()
    for i, j in pairs:
        if i != at:
            at, ours = i, _cases(store, a.id, i)
        yield _compare(a.targets[i], ours, b.targets[j], _cases(store, b.id, j))


def _adjusted(compared: Iterable[TargetComparison]) -> tuple[TargetComparison, ...]:
    """The same with p-values after Holm, over all of them."""
    found = list(compared)
    adjusted = iter(holm([p for one in found for p in _p_values(one).values()]))
    return tuple(
        msgspec.structs.replace(one, adjusted={name: next(adjusted) for name in _p_values(one)})
        for one in found
    )


def _tests(pairs: Iterable[TargetComparison]) -> int:
    return sum(len(one.adjusted) for one in pairs)


def _compare(
    a: EvalTarget, ours: dict[str, _Case], b: EvalTarget, theirs: dict[str, _Case]
) -> TargetComparison:
    both = [(ours[key], theirs[key], key) for key in ours if key in theirs]
    judged = [(x, y, key) for x, y, key in both if x.verdict is not None and y.verdict is not None]
    passes = None
    if judged:
        passes = compare_passes(
            [bool(x.verdict) for x, _, _ in judged], [bool(y.verdict) for _, y, _ in judged]
        )
    # Scores of 0 and 1 alone would only repeat the pass rate, as one more test to adjust for.
    binary = all(score in {0.0, 1.0} for x, y, _ in both for score in (*x.scores, *y.scores))
    names = dict.fromkeys(name for x, y, _ in both for name in x.metrics.keys() & y.metrics.keys())
    metrics = {
        name: compared
        for name in sorted(names)
        if (compared := _scores([(x.metrics.get(name), y.metrics.get(name)) for x, y, _ in both]))
    }
    return TargetComparison(
        a=a,
        b=b,
        paired=len(both),
        only_in_a=len(ours) - len(both),
        only_in_b=len(theirs) - len(both),
        unscored=len(both) - len(judged),
        passes=passes,
        score=None if binary else _scores([(x.scores, y.scores) for x, y, _ in both]),
        metrics=metrics,
        adjusted={},
        cases_needed=None if passes is None else _cases_needed(passes),
        flips=tuple(_flip(x, y, key) for x, y, key in judged if x.verdict != y.verdict)[
            :MOST_FLIPS
        ],
    )


def _cases(store: History, evaluation_id: str, target: int) -> dict[str, _Case]:
    found: dict[str, _Case] = {}
    for result in store.results(evaluation_id, target=target):
        found.setdefault(result.case_id, _Case(result)).add(result)
    return found


def _scores(
    pairs: list[tuple[list[float] | None, list[float] | None]],
) -> ScoreComparison | None:
    """None where no case has a score on both sides."""
    known = [(_mean(x), _mean(y)) for x, y in pairs if x and y]
    return compare_scores([x for x, _ in known], [y for _, y in known]) if known else None


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _cases_needed(passes: PassComparison) -> int | None:
    if passes.difference == 0 or not passes.interval.contains(0):
        return None
    flipped = (passes.only_a + passes.only_b) / passes.n
    return cases_needed_for_rates(passes.difference, flipped)


def _flip(x: _Case, y: _Case, case_id: str) -> Flip:
    return Flip(case_id, bool(y.verdict), y.vars, x.answer, y.answer, x.reason, y.reason)


def _p_values(compared: TargetComparison) -> dict[str, float]:
    found = {}
    if compared.passes is not None:
        found["pass"] = compared.passes.p_value
    if compared.score is not None:
        found["score"] = compared.score.p_value
    return found | {f"metric {name}": one.p_value for name, one in compared.metrics.items()}


def _left(evaluation: Evaluation, paired: set[int]) -> tuple[str, ...]:
    return tuple(
        f"{target.prompt}, {target.model.name}"
        for index, target in enumerate(evaluation.targets)
        if index not in paired
    )
