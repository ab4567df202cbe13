"""Which of a closed set of answers a model gives, from the answers' log-probabilities.

- raw: the most probable answer. Short answers have it easier, and so has whatever the model
  likes to say.
- normalized: the highest log-probability per byte (as lm-eval's ``acc_norm``), so that a long
  answer is not the less likely one for being long.
- calibrated: how much more probable an answer is after this prompt than after the same prompt
  without content (Zhao et al. 2021, arXiv 2102.09690, in its form with a ratio, as Holtzman et al.
  2021, arXiv 2104.08315). That takes a model's liking for one answer out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from localprompt.engine.base import ChoiceScore
from localprompt.records.evaluation import Scoring


def choose(
    scores: Sequence[ChoiceScore], scoring: Scoring, free: Sequence[ChoiceScore] | None = None
) -> tuple[str, dict[str, float]]:
    """The answer, and how probable each is among the choices.

    Args:
        scores: of each choice.
        free: the same choices after the prompt without content, for ``calibrated``.
    """
    weights = {score.text: _weight(score, scoring) for score in scores}
    if scoring == "calibrated" and free is not None:
        for habit in free:
            weights[habit.text] -= habit.log_probability
    chosen = max(weights, key=lambda text: weights[text])
    return chosen, _shares(weights)


def _weight(score: ChoiceScore, scoring: Scoring) -> float:
    return score.log_probability / (score.n_bytes if scoring == "normalized" else 1)


def _shares(weights: dict[str, float]) -> dict[str, float]:
    """Logarithms → shares that sum to one."""
    largest = max(weights.values())
    powers = {text: math.exp(weight - largest) for text, weight in weights.items()}
    total = math.fsum(powers.values())
    return {text: power / total for text, power in powers.items()}
