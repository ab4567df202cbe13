"""The metrics of lm-evaluation-harness, by its own rules.

Closed answers (``multiple_choice``, ``loglikelihood``): from the log-probability of each choice
behind the prompt. ``acc`` takes the largest, ``acc_norm`` the largest per character and
``acc_bytes`` per byte of UTF-8; ``exact_match`` asks whether the model would have written the right
choice by itself. The first of equals is taken.

Texts (``generate_until``): the answer goes through a pipeline of filters, then ``exact_match``
compares it with each right text.

A check's ``value`` is the right choice's index, or several; of texts, a list of them.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from localprompt.records.score import Answer, AnyExpectation, Expectation
from localprompt.scoring.bounded import PATTERN_SECONDS, run_bounded
from localprompt.scoring.expectations import CannotScoreError, Verdict, quoted

NO_MATCH = "[invalid]"
"""What a regular expression that is not found leaves, as lm-evaluation-harness has it."""
POOLED = frozenset({"f1", "perplexity"})
"""Metrics that are no mean over cases: they are made of all of them."""

Check = Callable[[Answer, Expectation], Verdict]
Filter = Mapping[str, Any]
"""``function`` and its arguments."""


def right_choice(choices: Sequence[str], expectations: Sequence[AnyExpectation]) -> str | None:
    """The choice that is right, where it is one."""
    for expected in expectations:
        if isinstance(expected, Expectation) and expected.type in TASK_CHECKS:
            return choices[expected.value] if isinstance(expected.value, int) else None
    return None


def _largest(answer: Answer, weigh: Callable[[str], int]) -> int:
    """The index of the choice that weighs most; the first of equals."""
    if not answer.choices:
        raise CannotScoreError("the choices were not weighed")
    return max(
        range(len(answer.choices)), key=lambda at: _weight(answer, answer.choices[at], weigh)
    )


def _weight(answer: Answer, choice: str, weigh: Callable[[str], int]) -> float:
    length = weigh(choice)
    return answer.log_probabilities[choice] / length if length else -math.inf


def _among_choices(weigh: Callable[[str], int], how: str) -> Check:
    def check(answer: Answer, expected: Expectation) -> Verdict:
        chosen = _largest(answer, weigh)
        met = chosen in _indices(expected)
        right = " or ".join(quoted(answer.choices[at]) for at in _indices(expected))
        return Verdict(met, f"{quoted(answer.choices[chosen])} is {how}, expected {right}")

    return check


def acc(answer: Answer, expected: Expectation) -> Verdict:
    """Of one text (``loglikelihood``) whether the model writes it; else which one it prefers."""
    return _written(answer, expected) if len(answer.choices) == 1 else _most(answer, expected)


_most = _among_choices(lambda _: 1, "the most probable")


def exact_match(answer: Answer, expected: Expectation) -> Verdict:
    return _written(answer, expected) if answer.choices else _same_text(answer, expected)


def _written(answer: Answer, expected: Expectation) -> Verdict:
    """Whether a right choice is what the model would have written, token by token."""
    right = [answer.choices[at] for at in _indices(expected)]
    met = any(choice in answer.greedy for choice in right)
    shown = " or ".join(map(quoted, right))
    return Verdict(met, f"the model {'writes' if met else 'would not write'} {shown} by itself")


def log_likelihood(answer: Answer, expected: Expectation) -> Verdict:
    """The log-probability of the right text; what is made of all of them is the perplexity."""
    (right,) = (answer.choices[at] for at in _indices(expected))
    value = answer.log_probabilities[right]
    return Verdict(True, f"log-probability {value:.2f}", value)


def _same_text(answer: Answer, expected: Expectation) -> Verdict:
    """Whether the filtered answer equals one of the right texts."""
    given = filtered(answer.text, expected.config.get("filters", ()))
    plain = _plainer(expected.config)
    met = any(plain(given) == plain(text) for text in expected.value)
    shown = " or ".join(map(quoted, expected.value))
    return Verdict(met, f"the output is {quoted(given)}, expected {shown}")


def filtered(text: str, filters: Sequence[Filter]) -> str:
    """The answer after a pipeline of filters.

    Raises:
        CannotScoreError: a pattern is wrong, or matching takes too long.
    """
    for one in filters:
        text = FILTERS[one["function"]](text, one)
    return text


def _regex(text: str, given: Filter) -> str:
    fallback = str(given.get("fallback", NO_MATCH))
    pattern = str(given.get("regex_pattern", r"#### (\-?[0-9\.\,]+)"))
    found = run_bounded("find_all", PATTERN_SECONDS, pattern=pattern, text=text)
    if not found:
        return fallback
    try:
        match = found[int(given.get("group_select", 0))]
    except IndexError:
        return fallback
    if isinstance(match, list):
        match = next((group for group in match if group), fallback)
    return str(match).strip()


def _mapped(text: str, given: Filter) -> str:
    table, other = given.get("mapping_dict") or {}, given.get("default_value")
    return str(table.get(text, other))


FILTERS: dict[str, Callable[[str, Filter], str]] = {
    "take_first": lambda text, _: text,  # of the answers of one case, which are one
    "take_first_k": lambda text, _: text,
    "majority_vote": lambda text, _: text,
    "lowercase": lambda text, _: text.lower(),
    "uppercase": lambda text, _: text.upper(),
    "remove_whitespace": lambda text, _: text.strip(),
    "map": _mapped,
    "regex": _regex,
}


def _plainer(config: Mapping[str, Any]) -> Callable[[str], str]:
    """What ``exact_match`` leaves out of both sides before it compares them."""
    dropped = string.punctuation if config.get("ignore_punctuation") else ""
    dropped += string.digits if config.get("ignore_numbers") else ""

    def plain(text: str) -> str:
        for pattern in config.get("regexes_to_ignore") or ():
            text = str(run_bounded("replace", PATTERN_SECONDS, pattern=pattern, by="", text=text))
        text = text.lower() if config.get("ignore_case") else text
        return text.translate(str.maketrans("", "", dropped))

    return plain


def _indices(expected: Expectation) -> Sequence[int]:
    value = expected.value
    return [value] if isinstance(value, int) else list(value)


TASK_CHECKS: dict[str, Check] = {
    "acc": acc,
    "acc_norm": _among_choices(len, "the most probable per character"),
    "acc_bytes": _among_choices(lambda text: len(text.encode()), "the most probable per byte"),
    "exact_match": exact_match,
    "f1": _most,
    "perplexity": log_likelihood,
}
