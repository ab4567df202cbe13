"""Solved cases to show: which, how many, in which order; pure.

Sets are drawn from a *pool* that is a part of the search part, so that the rest can be asked with
any of them. Nearest examples choose from all of the search part, since they never show a case its
own answer. What cannot stand in a template is not used as an example: text that looks like a role
line, or that Jinja2 cannot be told to leave alone.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from localprompt.improve.parts import label_of
from localprompt.improve.turns import Turn, body_of, turns_of
from localprompt.records.prompt import EmbeddedBy, Example, NearestExamples
from localprompt.records.score import Expectation
from localprompt.rendering.nearest import text_of
from localprompt.rendering.retrieval import words
from localprompt.rendering.segments import ROLE_LIKE
from localprompt.scoring import text_checks
from localprompt.sources.suite.records import EvalCase

COUNTS = (2, 4, 8)
NEAREST = (2, 4, 8)
MOST_POOL = 64
_RAW_END = "{% endraw %}"
_TOLD_TYPES = ("equals", "icontains", "contains")


class ExampleSet(msgspec.Struct, frozen=True):
    """Examples that a candidate shows: these, or the nearest of a pool."""

    name: str
    """In words: ``4 examples, balanced``."""
    given: tuple[Example, ...] = ()
    nearest: NearestExamples | None = None
    cases: frozenset[str] = frozenset()
    """Ids of the cases that ``given`` are."""
    block: bool = False
    """``given`` stand as text before the inputs of the last turn, not as turns of their own."""


NONE = ExampleSet("none")


def usable(cases: Sequence[EvalCase]) -> list[EvalCase]:
    """The cases that have an answer and can stand in a template."""
    return [case for case in cases if answer_of(case) is not None and _can_stand(case)]


def answer_of(case: EvalCase) -> str | None:
    """What a perfect answer to the case would be; None where its expectations do not say."""
    for expected in case.expectations:
        if isinstance(expected, Expectation) and not expected.negated:
            value = expected.value
            if expected.type in _TOLD_TYPES and isinstance(value, str | int | float):
                return text_checks.as_text(value)  # true, not True: as equals compares it
            if expected.type == "equals" and isinstance(value, dict | list):
                return json.dumps(value, ensure_ascii=False)
    return None


def example_of(case: EvalCase) -> Example:
    """The case, solved."""
    return Example(vars=case.vars, answer=answer_of(case) or "")


def sets_of(
    pool: Sequence[EvalCase],
    *,
    seed: int,
    hard: Collection[str] = (),
    most: int | None = None,
    as_text: bool = False,
) -> Iterator[ExampleSet]:
    """Sets of examples, smaller ones first.

    Args:
        pool: usable cases to draw from.
        hard: ids of those that the best wording so far gets wrong.
        most: no set is larger.
        as_text: show balanced sets as text in the last turn, too.
    """
    for count in COUNTS:
        if count > len(pool) or (most is not None and count > most):
            return
        drawn = _balanced(pool, count, seed)
        yield _set(f"{count} examples, balanced", drawn)
        if as_text:
            one = _set(f"{count} examples as text, balanced", drawn)
            yield msgspec.structs.replace(one, block=True)
        if count > 2:
            again = _balanced(pool, count, seed + 1)
            yield _set(f"{count} examples, balanced, a second draw", again)
        yield _set(f"{count} examples, diverse", _diverse(pool, count))
        wrong = [case for case in pool if case.id in hard]
        if len(wrong) >= count:
            yield _set(f"{count} examples, hard ones", _balanced(wrong, count, seed))


def nearest_of(pool: Sequence[Example], by: EmbeddedBy | None = None) -> Iterator[ExampleSet]:
    """The nearest of all solved cases, chosen for each case.

    Args:
        by: the model that embedded the pool and says what is near; None: words do.
    """
    said = f" by {by.model}" if by else ""
    for count in NEAREST:
        if count < len(pool):
            nearest = NearestExamples(pool=tuple(pool), count=count, by=by)
            yield ExampleSet(f"{count} nearest examples{said}", nearest=nearest)


def with_turns(body: str, examples: Sequence[Example]) -> str:
    """The template with solved examples as turns before its last one of the user."""
    turns = list(turns_of(body))
    last = max(at for at, turn in enumerate(turns) if turn.role == "user")
    solved = [
        turn
        for example in examples
        for turn in (
            Turn("user", _filled(turns[last].text, example.vars)),
            Turn("assistant", _standing(example.answer)),
        )
    ]
    return body_of([*turns[:last], *solved, *turns[last:]])


def with_block(body: str, examples: Sequence[Example]) -> str:
    """The template with solved examples as text in its last turn, each as the case itself stands
    there, its answer behind the cue."""
    *before, last = turns_of(body)
    head, case = _own_lines(last.text)
    solved = [f"{_filled(case, one.vars)} {_standing(one.answer)}" for one in examples]
    text = "\n\n".join([*([head] if head else []), *solved, case])
    return body_of([*before, Turn(last.role, text)])


def can_take_block(body: str) -> bool:
    """Whether the last turn ends with a cue that an answer can stand behind."""
    return can_take_examples(body) and turns_of(body)[-1].text.rstrip().endswith(":")


def _own_lines(text: str) -> tuple[str, str]:
    """A turn's lines before those of the case, and those."""
    lines = text.strip().split("\n")
    start = next(at for at, line in enumerate(lines) if "{{" in line)
    if start and lines[start - 1].rstrip().endswith(":"):
        start -= 1  # its name stands on a line of its own
    return "\n".join(lines[:start]).strip(), "\n".join(lines[start:])


def can_take_examples(body: str) -> bool:
    """Whether the last turn is a user's that names its inputs plainly."""
    turns = turns_of(body)
    return bool(turns) and turns[-1].role == "user" and "{%" not in body and "{{" in turns[-1].text


def _filled(text: str, values: Mapping[str, Any]) -> str:
    import re

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        return _standing(str(values[name])) if name in values else found.group(0)

    return re.sub(r"{{-?\s*([A-Za-z_]\w*)\s*-?}}", value, text)


def _standing(text: str) -> str:
    """Text as a template says it."""
    needs = any(mark in text for mark in ("{{", "{%", "{#"))
    return f"{{% raw %}}{text}{_RAW_END}" if needs else text


def _can_stand(case: EvalCase) -> bool:
    texts = (text_of(case.vars), answer_of(case) or "")
    plain = all(isinstance(value, str | int | float) for value in case.vars.values())
    return plain and not any(
        ROLE_LIKE.search(text) or _RAW_END in text or "endraw" in text for text in texts
    )


def _set(name: str, cases: Sequence[EvalCase]) -> ExampleSet:
    return ExampleSet(
        name, tuple(map(example_of, cases)), cases=frozenset(case.id for case in cases)
    )


def _balanced(pool: Sequence[EvalCase], count: int, seed: int) -> list[EvalCase]:
    """Drawn by lot, label by label in turns, where labels come again."""
    lot = random.Random(seed)  # noqa: S311
    by_label: dict[str, list[EvalCase]] = defaultdict(list)
    for case in pool:
        by_label[label_of(case)].append(case)
    groups = list(by_label.values()) if len(by_label) <= max(2, len(pool) // 2) else [list(pool)]
    for group in groups:
        lot.shuffle(group)
    lot.shuffle(groups)
    drawn: list[EvalCase] = []
    while len(drawn) < count and any(groups):
        for group in groups:
            if group and len(drawn) < count:
                drawn.append(group.pop())
    return drawn


def _diverse(pool: Sequence[EvalCase], count: int) -> list[EvalCase]:
    """Each as unlike those before it as can be, labels taking turns where they come again."""
    vocabularies = {case.id: set(words(text_of(case.vars))) for case in pool}
    drawn: list[EvalCase] = []
    labels = sorted({label_of(case) for case in pool})
    turns = labels if len(labels) <= max(2, len(pool) // 2) else []
    while len(drawn) < count:
        wanted = turns[len(drawn) % len(turns)] if turns else None
        left = [case for case in pool if case not in drawn]
        right = [case for case in left if wanted is None or label_of(case) == wanted] or left
        drawn.append(min(right, key=lambda case: _alike(case, drawn, vocabularies)))
    return drawn


def _alike(
    case: EvalCase, drawn: Sequence[EvalCase], vocabularies: Mapping[str, set[str]]
) -> float:
    """The largest share of words that the case has in common with one that was drawn."""
    own = vocabularies[case.id]
    return max(
        (
            len(own & vocabularies[other.id]) / (len(own | vocabularies[other.id]) or 1)
            for other in drawn
        ),
        default=0.0,
    )
