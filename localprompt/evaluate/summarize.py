"""Results, as they lie in the history → what they add up to.

Read one by one; what is kept of each is a few numbers, so that a summary of a hundred thousand
results takes a few megabytes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from localprompt.evaluate.classify import Tally
from localprompt.evaluate.comparing import pairs_within
from localprompt.evaluate.repeats import Repeats
from localprompt.records.evaluation import (
    AssertionSummary,
    CaseResult,
    EvalResult,
    EvalTarget,
    Evaluation,
    MeanScore,
    PassRate,
    TargetSummary,
)
from localprompt.records.score import Score
from localprompt.scoring.closed import habit
from localprompt.stats.paired import mean_interval, wilson
from localprompt.stats.samples import Interval, median
from localprompt.store.history import History

MOST_RESAMPLED = 5_000
"""Above it the mean is as good as normal, and a bootstrap would take minutes."""
NEAR_TIE_LOG_ODDS = 0.3
"""Two choices closer than this are a near tie: which one is chosen depends on what else was in the
batch. Measured where kernels round by the batch (benchmarks/results/2026-11-26-near-ties.md)."""
_Z95 = 1.959963984540054


def load_result(evaluation: Evaluation, store: History) -> EvalResult:
    """The evaluation with all that it adds up to."""
    summaries = tuple(
        summarize(target, store.results(evaluation.id, target=index))
        for index, target in enumerate(evaluation.targets)
    )
    uses, pairs = tuple(store.uses(evaluation.id)), pairs_within(evaluation, store)
    return EvalResult(evaluation, summaries, uses, pairs)


def summarize(target: EvalTarget, results: Iterable[CaseResult]) -> TargetSummary:
    """What one target's results add up to."""
    summing = _Summing(target)
    for result in results:
        summing.add(result)
    return summing.summary()


def is_near_tie(result: CaseResult) -> bool:
    """Whether another run of the same case may well choose otherwise."""
    if not result.probabilities or len(result.probabilities) < 2:
        return False
    best, second = sorted(result.probabilities.values(), reverse=True)[:2]
    return second > 0 and math.log(best / second) < NEAR_TIE_LOG_ODDS


def mean_score(values: list[float], unscored: int = 0) -> MeanScore:
    """A mean with its interval; without values there is neither."""
    if not values:
        return MeanScore(0, None, None, unscored)
    mean = math.fsum(values) / len(values)
    if len(values) <= MOST_RESAMPLED:
        return MeanScore(len(values), mean, mean_interval(values), unscored)
    variance = math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
    half = _Z95 * math.sqrt(variance / len(values))
    return MeanScore(len(values), mean, Interval(mean - half, mean + half), unscored)


class _Assertions:
    """One assertion type."""

    def __init__(self) -> None:
        self.counts: Counter[bool | None] = Counter()
        self.scores: list[float] = []

    def add(self, score: Score) -> None:
        self.counts[score.passed] += 1
        if score.score is not None:
            self.scores.append(score.score)

    def summary(self, name: str) -> AssertionSummary:
        counts = self.counts
        score = mean_score(self.scores, counts[None])
        return AssertionSummary(name, counts[True], counts[False], counts[None], score)


class _Summing:
    def __init__(self, target: EvalTarget) -> None:
        self._target = target
        self._passed: Counter[bool | None] = Counter()
        self._errors = self._cached = self._prompt_tokens = self._completion_tokens = 0
        self._scores: list[float] = []
        self._metrics: dict[str, list[float]] = {}
        self._unscored_metrics: Counter[str] = Counter()
        self._assertions: dict[str, _Assertions] = {}
        self._tally = Tally(target.template.choices)
        self._ttft: list[float] = []
        self._machines: set[str | None] = set()
        self._logs: dict[str, list[float]] = {}
        self._near_ties = 0
        self._repeats = Repeats()

    def add(self, result: CaseResult) -> None:
        self._passed[result.score.passed] += 1
        self._repeats.add(result)
        self._errors += result.error is not None
        self._cached += result.cached
        self._prompt_tokens += result.prompt_tokens or 0
        self._completion_tokens += result.completion_tokens or 0
        if result.score.score is not None:
            self._scores.append(result.score.score)
        for name, total in result.score.metrics.items():
            values = self._metrics.setdefault(name, [])
            if total.mean is not None:
                values.append(total.mean)
            self._unscored_metrics[name] += total.unscored > 0
        for score in _flat(result.score.scores):
            if score.weight == 0 and score.metric is not None:
                continue  # it cannot fail, and is summed up as a metric
            self._assertions.setdefault(score.type, _Assertions()).add(score)
        self._tally.add(result)
        for choice, value in (result.log_probabilities or {}).items():
            self._logs.setdefault(choice, []).append(value)
        self._near_ties += is_near_tie(result)
        if result.timing is not None and result.timing.ttft_seconds is not None:
            self._ttft.append(result.timing.ttft_seconds)
            self._machines.add(result.machine)

    def summary(self) -> TargetSummary:
        passed, failed = self._passed[True], self._passed[False]
        unscored = self._passed[None]
        return TargetSummary(
            target=self._target,
            done=self._passed.total(),
            cached=self._cached,
            passes=PassRate(
                passed,
                failed,
                self._errors,
                unscored,
                self._repeats.interval() or wilson(passed, passed + failed),
            ),
            score=mean_score(self._scores, self._passed.total() - len(self._scores)),
            metrics={name: self._metric(name, values) for name, values in self._metrics.items()},
            assertions=tuple(one.summary(name) for name, one in self._assertions.items()),
            classification=self._tally.classification(),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            ttft_seconds=median(self._ttft) if self._ttft and self._machines_agree else None,
            batch_bias=self._bias(),
            near_ties=self._near_ties,
            only_answer=self._tally.only_answer(),
            repeated=self._repeats.repeated(),
        )

    @property
    def _machines_agree(self) -> bool:
        """Times of different machines are not times of one thing."""
        return len(self._machines) < 2

    def _metric(self, name: str, values: list[float]) -> MeanScore:
        """A metric's mean over the cases; for a task's F1 and perplexity, what they mean."""
        mean = mean_score(values, self._unscored_metrics[name])
        if self._target.template.language != "text":
            return mean
        if name == "perplexity" and mean.mean is not None:
            return _perplexity(mean)
        if name == "f1" and (found := self._tally.classification()) is not None:
            return MeanScore(mean.n, found.scores[1].f1, None, mean.unscored)
        return mean

    def _bias(self) -> dict[str, float] | None:
        means = {choice: math.fsum(logs) / len(logs) for choice, logs in self._logs.items()}
        return habit(means) if len(means) > 1 else None


def _perplexity(mean: MeanScore) -> MeanScore:
    """exp(−mean) of log-likelihoods, and its interval."""
    assert mean.mean is not None  # noqa: S101 — the caller has looked
    interval = mean.interval
    if interval is not None:
        interval = Interval(math.exp(-interval.high), math.exp(-interval.low))
    return MeanScore(mean.n, math.exp(-mean.mean), interval, mean.unscored)


def _flat(scores: Iterable[Score]) -> Iterable[Score]:
    for score in scores:
        if score.members:
            yield from _flat(score.members)
        else:
            yield score
