"""How large each step is, and which window it takes."""

from __future__ import annotations

import math
import random

from localprompt.records.training import Schedule


def learning_rate(
    step: int, steps: int, peak: float, *, schedule: Schedule, warmup: float
) -> float:
    """The rate of a step; never 0, which ggml refuses.

    It rises in a line over the first ``warmup`` of all steps, then falls to a hundredth of
    ``peak`` at the last step, in a line or as half a cosine wave, or stays.

    Args:
        step: from 0.
        steps: of the whole training.
    """
    rising = math.ceil(warmup * steps)
    if step < rising:
        return peak * (step + 1) / rising
    if schedule == "constant":
        return peak
    passed = (step - rising + 1) / max(1, steps - rising)
    left = 1 - passed if schedule == "linear" else (1 + math.cos(math.pi * passed)) / 2
    return peak * max(0.01, left)


def order(windows: int, seed: int, epoch: int) -> list[int]:
    """The order of windows in an epoch: the same for the same seed, another in each epoch."""
    numbers = list(range(windows))
    random.Random(f"{seed} {epoch}").shuffle(numbers)  # noqa: S311  no secret
    return numbers
