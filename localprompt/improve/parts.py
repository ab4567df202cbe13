"""Cases → the three parts of a search: to search in, to select with, to prove on; pure.

Whoever tries forty prompts on the same cases finds one that is good on those cases. So they are
split once: candidates race on the *search* part, the best few meet on the *selection* part, and
the *final* part is looked at once, by the winner and the original.

The split is stratified by the expected answer where there are few different ones. Cases that say
the same (but for case and white space) go into one part together, or the final part would hold
what the search has seen.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from localprompt.errors import InputError
from localprompt.evaluate.classify import MOST_LABELS
from localprompt.evaluate.results import expected_text
from localprompt.records.improvement import PartSize
from localprompt.rendering.nearest import text_of
from localprompt.sources.suite.records import EvalCase

LEAST_CASES = 30
_SHARES = {"search": 0.5, "selection": 0.2, "final": 0.3}
_SHARES_WITHOUT_FINAL = {"search": 0.7, "selection": 0.3}


class Parts(msgspec.Struct, frozen=True):
    """The cases, split."""

    search: tuple[EvalCase, ...]
    selection: tuple[EvalCase, ...]
    final: tuple[EvalCase, ...]
    notes: tuple[str, ...] = ()
    """What was moved or left out, for the user to know."""

    def sizes(self) -> tuple[PartSize, ...]:
        return tuple(
            PartSize(name, len(cases), dict(Counter(map(label_of, cases))) if few(cases) else {})
            for name, cases in (
                ("search", self.search),
                ("selection", self.selection),
                ("final", self.final),
            )
        )


def split(
    cases: Sequence[EvalCase],
    *,
    seed: int,
    final: Sequence[EvalCase] | None = None,
    choices: Sequence[str] = (),
    force: bool = False,
) -> Parts:
    """Split cases, or those that are to be learnt from where there is a final part of its own.

    Args:
        final: cases of the user's own to prove on.
        choices: the closed set of answers, where there is one.
        force: go on with fewer than LEAST_CASES.

    Raises:
        InputError: there are too few cases, or only one label.
    """
    notes: list[str] = []
    if final is not None:
        cases, left_out = _without(cases, final)
        if left_out:
            notes.append(
                f"{_cases(left_out)} of the final file {_were(left_out)} left out of the search"
            )
    total = len(cases) + len(final or ())
    if total < LEAST_CASES and not force:
        raise InputError(
            "too few cases to find a better prompt and prove it",
            expected=f"at least {LEAST_CASES}; with {total} a gain below "
            f"{_least_shown(len(final or ()) or max(1, round(0.3 * total)))} points cannot be told "
            "from chance",
            found=f"{total} cases",
            next_step="add cases, or --force to see what can be told",
        )
    if len(cases) < 4 or (final is not None and not final):
        raise InputError("not enough cases to split", found=f"{total} cases")
    labels = {label_of(case) for case in (*cases, *(final or ()))}
    if choices and len(labels) < 2:
        raise InputError(
            "all cases have the same answer: any prompt that always says it would win",
            expected="cases with different answers",
            found=f"{total} times {next(iter(labels), '')!r}",
        )
    dealt, moved = _deal(cases, _SHARES if final is None else _SHARES_WITHOUT_FINAL, seed)
    if moved:
        notes.append(f"{_cases(moved)} that say the same as another went into one part with it")
    return Parts(
        search=dealt["search"],
        selection=dealt["selection"],
        final=tuple(final) if final is not None else dealt["final"],
        notes=tuple(notes),
    )


def label_of(case: EvalCase) -> str:
    """The one text that the answer should equal; empty where there is none."""
    return expected_text(case) or ""


def few(cases: Iterable[EvalCase]) -> bool:
    """Whether the expected answers are a few that come again: a closed set."""
    labels = Counter(map(label_of, cases))
    return 2 <= len(labels) <= min(MOST_LABELS, labels.total() // 2)


def _deal(
    cases: Sequence[EvalCase], shares: dict[str, float], seed: int
) -> tuple[dict[str, tuple[EvalCase, ...]], int]:
    """Groups of equal cases, dealt out label by label; and how many cases were no first ones."""
    groups: dict[str, list[EvalCase]] = defaultdict(list)
    for case in cases:
        groups[same_text(case)].append(case)
    strata: dict[str, list[list[EvalCase]]] = defaultdict(list)
    stratified = few(cases)
    for group in groups.values():
        strata[label_of(group[0]) if stratified else ""].append(group)
    dealt: dict[str, list[EvalCase]] = {name: [] for name in shares}
    lot = random.Random(seed)  # noqa: S311 - which case goes where is no secret
    for label in sorted(strata):
        lot.shuffle(strata[label])
        have = dict.fromkeys(shares, 0)
        for number, group in enumerate(strata[label], start=1):
            name = max(shares, key=lambda part: shares[part] * number - have[part])
            have[name] += 1
            dealt[name] += group
    ordered = {
        name: tuple(sorted(some, key=lambda case: case.index)) for name, some in dealt.items()
    }
    return ordered, len(cases) - len(groups)


def same_text(case: EvalCase) -> str:
    """Equal for cases that say the same."""
    return " ".join(text_of(case.vars).casefold().split())


def _without(cases: Sequence[EvalCase], final: Sequence[EvalCase]) -> tuple[list[EvalCase], int]:
    there = {same_text(case) for case in final}
    kept = [case for case in cases if same_text(case) not in there]
    return kept, len(cases) - len(kept)


def _least_shown(n: int) -> int:
    """The smallest gain, in points, that the exact test can call shown over n cases: six cases
    that flipped one way and none the other."""
    return min(100, round(600 / n))


def _cases(n: int) -> str:
    return "1 case" if n == 1 else f"{n} cases"


def _were(n: int) -> str:
    return "was" if n == 1 else "were"
