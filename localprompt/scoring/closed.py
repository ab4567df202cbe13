"""Closed answers: from the log-probabilities of a few choices to the one that is taken; pure.

A small model prefers some words whatever it has read. Three ways to take such a habit out, all of
them a number for each choice that is added to its log-probability (a *bias*):

- *calibrated*: less what the choice has after a prompt without content (Zhao et al. 2021,
  arXiv 2102.09690);
- *batch*: less its mean over many cases, of which no label is known (Zhou et al. 2024,
  arXiv 2309.17249). It supposes that the cases are of all kinds in equal parts;
- *fitted*: what makes the right choices of labelled cases most probable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

LogProbabilities = Mapping[str, float]
"""Of each choice after one prompt, natural logarithms."""
_STEPS = 400
_RATE = 0.5
_PENALTY = 1e-3
_COLDEST = 0.05


def weigh(
    log_probabilities: LogProbabilities,
    *,
    per_byte: bool = False,
    bias: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """What each choice weighs; the heaviest is taken.

    Args:
        per_byte: divide by the choice's length first: long answers are improbable as such.
        bias: what is added; a choice that is not in it gets nothing.
    """
    added = bias or {}
    return {
        choice: value / (len(choice.encode()) if per_byte else 1) + added.get(choice, 0.0)
        for choice, value in log_probabilities.items()
    }


def heaviest(weights: Mapping[str, float]) -> str:
    """The choice that is taken; the first of equals."""
    return max(weights, key=lambda choice: weights[choice])


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Logarithms → shares that sum to one."""
    largest = max(weights.values())
    powers = {choice: math.exp(weight - largest) for choice, weight in weights.items()}
    total = math.fsum(powers.values())
    return {choice: power / total for choice, power in powers.items()}


def habit(log_probabilities: LogProbabilities) -> dict[str, float]:
    """The bias that makes all choices equal where these are the log-probabilities."""
    return _centred({choice: -value for choice, value in log_probabilities.items()})


def batch_bias(cases: Sequence[LogProbabilities], *, per_byte: bool = False) -> dict[str, float]:
    """The bias under which no choice is preferred over these cases.

    Args:
        cases: at least one, all with the same choices.
    """
    weighed = [weigh(case, per_byte=per_byte) for case in cases]
    return habit(
        {choice: math.fsum(case[choice] for case in weighed) / len(weighed) for choice in cases[0]}
    )


class Fit(NamedTuple):
    """What labelled cases say of a prompt's closed answers."""

    bias: dict[str, float]
    """Under which the right choices are most probable together."""
    likelihood: float
    """The mean logarithm of the right choice's share then: 0 at best, -log(n) where the prompt says
    nothing about n choices. It tells prompts apart with fewer cases than their hits do: a case
    that was nearly right counts for more than one that was not."""


def fitted_bias(cases: Sequence[LogProbabilities], right: Sequence[str]) -> dict[str, float]:
    """The bias of :func:`fit`."""
    return fit(cases, right).bias


def fit(cases: Sequence[LogProbabilities], right: Sequence[str]) -> Fit:
    """The bias under which the right choices are most probable together, and how probable.

    Maximum likelihood of softmax(t·l + b) over intercepts b and one temperature t, by gradient
    steps from t = 1, b = 0 with a small penalty on b; b / t is returned, since only the order of
    weights matters.

    Args:
        cases: at least one, all with the same choices.
        right: the right choice of each.
    """
    import numpy as np

    choices = list(cases[0])
    logs = np.array([[case[choice] for choice in choices] for case in cases])
    logs -= logs.mean(axis=1, keepdims=True)
    scale = float(logs.std()) or 1.0
    logs /= scale
    wanted = np.array([[float(choice == label) for choice in choices] for label in right])
    warmth, bias = 1.0, np.zeros(len(choices))
    for _ in range(_STEPS):
        powers = np.exp(warmth * logs + bias)
        missing = wanted - powers / powers.sum(axis=1, keepdims=True)
        bias += _RATE * (missing.mean(axis=0) - _PENALTY * bias)
        warmth = max(_COLDEST, warmth + _RATE * float((missing * logs).sum(axis=1).mean()))
    weights = warmth * logs + bias
    shares = weights - np.log(np.exp(weights).sum(axis=1, keepdims=True))
    found = _centred({c: float(b) * scale / warmth for c, b in zip(choices, bias, strict=True)})
    return Fit(found, float((shares * wanted).sum(axis=1).mean()))


def _centred(bias: Mapping[str, float]) -> dict[str, float]:
    """The same preferences around zero, in few digits: they are read by people, too."""
    middle = math.fsum(bias.values()) / len(bias)
    return {choice: round(value - middle, 4) for choice, value in bias.items()}
