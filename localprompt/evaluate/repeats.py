"""What repetitions of cases say: whether a target passes a case always, or only sometimes.

Repetitions differ by their seed, so at temperature 0 they all say the same. They are not
independent cases: what they add is how steady the answers are, and the interval of the pass rate
comes from the cases alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from localprompt.records.evaluation import CaseResult, Repeated, RepeatedCase
from localprompt.stats.paired import mean_interval, wilson
from localprompt.stats.samples import Interval


class Repeats:
    """Collects the results of one target."""

    def __init__(self) -> None:
        self._verdicts: dict[str, list[bool]] = {}
        self._answers: dict[str, set[str]] = {}
        self._most = 0

    def add(self, result: CaseResult) -> None:
        self._most = max(self._most, result.repetition + 1)
        self._answers.setdefault(result.case_id, set()).add(result.answer)
        if result.score.passed is not None:
            self._verdicts.setdefault(result.case_id, []).append(result.score.passed)

    def repeated(self) -> Repeated | None:
        """None: nothing was repeated, or nothing was scored."""
        if self._most < 2 or not self._verdicts:
            return None
        cases = tuple(
            RepeatedCase(case_id, sum(verdicts), len(verdicts), len(self._answers[case_id]))
            for case_id, verdicts in self._verdicts.items()
        )
        return Repeated(
            repetitions=self._most,
            pass_power=tuple(
                power
                for k in range(1, self._most + 1)
                if (power := pass_power(cases, k)) is not None
            ),
            flipping=sum(case.flips for case in cases) / len(cases),
            consistency=math.fsum(case.consistency for case in cases) / len(cases),
            cases=cases,
        )

    def interval(self) -> Interval | None:
        """The pass rate's, by the cases; None: nothing was repeated."""
        if self._most < 2 or not self._verdicts:
            return None
        rates = [sum(verdicts) / len(verdicts) for verdicts in self._verdicts.values()]
        bootstrap = mean_interval(rates)
        # Where all cases ended alike there is nothing to resample, and yet they say something.
        return bootstrap or wilson(round(sum(rates)), len(rates))


def pass_power(cases: Sequence[RepeatedCase], k: int) -> float | None:
    """pass^k: how probable it is that ``k`` repetitions of a case, drawn without replacement, all
    passed: C(passed, k) / C(scored, k), the mean over the cases that have so many; None: none has.
    """
    enough = [case for case in cases if case.scored >= k]
    if not enough:
        return None
    shares = (math.comb(case.passed, k) / math.comb(case.scored, k) for case in enough)
    return math.fsum(shares) / len(enough)
