"""The original and the winner on the final part: once, paired, with an exact test; pure."""

from __future__ import annotations

import random
from collections.abc import Sequence

from localprompt.improve.judging import MACRO_F1, Judged, macro_f1, standing
from localprompt.records.improvement import FinalComparison, FlippedCase
from localprompt.sources.suite.records import EvalCase
from localprompt.stats.paired import compare_passes, compare_scores
from localprompt.stats.samples import Interval

LEVEL = 0.05
MOST_FLIPS = 200
_RESAMPLES = 2_000
_SEED = 20_260_101


def compare_finally(
    cases: Sequence[EvalCase], before: Sequence[Judged], after: Sequence[Judged], metric: str
) -> FinalComparison:
    """What the winner gained over the original.

    Cases that either side could not score are left out.

    Raises:
        ValueError: no case is left.
    """
    by_id = {case.id: case for case in cases}
    pairs = [
        (a, b)
        for a, b in zip(before, after, strict=True)
        if a.value is not None and b.value is not None
    ]
    if not pairs:
        raise ValueError("no case of the final part could be scored on both sides")
    flips = tuple(
        FlippedCase(
            case_id=a.case_id,
            repaired=(b.value or 0) > (a.value or 0),
            vars=by_id[a.case_id].vars,
            expected=a.expected or None,
            answer_before=a.answer,
            answer_after=b.answer,
        )
        for a, b in pairs
        if a.value != b.value
    )[:MOST_FLIPS]
    if metric == MACRO_F1:
        return _swapped(pairs, flips)
    ours, theirs = [a.value or 0.0 for a, _ in pairs], [b.value or 0.0 for _, b in pairs]
    if all(value in {0.0, 1.0} for value in (*ours, *theirs)):
        found = compare_passes([v == 1 for v in ours], [v == 1 for v in theirs])
        return FinalComparison(
            n=found.n,
            before=found.passed_a / found.n,
            after=found.passed_b / found.n,
            difference=found.difference,
            interval=found.interval,
            p_value=found.p_value,
            test="exact McNemar",
            shown=_shown(found.difference, found.p_value),
            passes=found,
            flips=flips,
        )
    scored = compare_scores(ours, theirs)
    return FinalComparison(
        n=scored.n,
        before=sum(ours) / scored.n,
        after=sum(theirs) / scored.n,
        difference=scored.difference,
        interval=scored.interval,
        p_value=scored.p_value,
        test="sign-flip permutation",
        shown=_shown(scored.difference, scored.p_value),
        scores=scored,
        flips=flips,
    )


def _swapped(
    pairs: Sequence[tuple[Judged, Judged]], flips: tuple[FlippedCase, ...]
) -> FinalComparison:
    """Macro F1 is of a whole set of answers: the test swaps the two answers of cases at random
    (Yeh 2000), the interval resamples cases."""
    lot = random.Random(_SEED)  # noqa: S311
    before = standing([a for a, _ in pairs], MACRO_F1).value
    after = standing([b for _, b in pairs], MACRO_F1).value
    observed = abs(after - before) - 1e-12
    hits, drawn = 0, []
    for _ in range(_RESAMPLES):
        swapped = [(b, a) if lot.random() < 0.5 else (a, b) for a, b in pairs]
        hits += abs(_gain(swapped)) >= observed
        drawn.append(_gain(lot.choices(pairs, k=len(pairs))))
    drawn.sort()
    low, high = drawn[round(0.025 * _RESAMPLES)], drawn[round(0.975 * _RESAMPLES) - 1]
    p_value = (hits + 1) / (_RESAMPLES + 1)
    return FinalComparison(
        n=len(pairs),
        before=before,
        after=after,
        difference=after - before,
        interval=Interval(low, high) if low < high else None,
        p_value=p_value,
        test="swap permutation",
        shown=_shown(after - before, p_value),
        flips=flips,
    )


def _gain(pairs: Sequence[tuple[Judged, Judged]]) -> float:
    before = macro_f1([(a.expected, a.answer) for a, _ in pairs])
    return macro_f1([(b.expected, b.answer) for _, b in pairs]) - before


def _shown(difference: float, p_value: float) -> bool:
    return difference > 0 and p_value < LEVEL
