"""The training itself: epochs of steps, held-out losses between them, and when it ends early.

It knows neither llama.cpp nor processes: what trains is a :class:`Model`, what is reported goes to
``say``, and whoever wants it to stop answers ``stop`` with True. It then ends after the step that
it is at, with the weights saved.

Nothing is saved that was not looked at: weights whose loss is no number are left behind, and the
last checkpoint stays.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from localprompt.engine.windows import Window, WindowLoss
from localprompt.records.training import Schedule

Reason = Literal["epochs", "max_minutes", "stopped", "nan"]
"""Why it ended: all was done; the time was up; it was asked to; a loss was no number."""


class Course(msgspec.Struct, frozen=True):
    """What is to be done, from where."""

    train: tuple[Window, ...]
    holdout: tuple[Window, ...]
    epochs: int
    learning_rate: float
    schedule: Schedule
    warmup: float
    seed: int
    max_seconds: float | None
    """Of this call."""
    epoch: int = 0
    """Epochs that are complete."""
    step: int = 0
    """Steps of the next epoch that are done."""


class Stepped(msgspec.Struct, frozen=True, tag_field="is", tag="stepped"):
    """A step of training is done; its loss is from before it."""

    loss: WindowLoss
    seconds: float


class Held(msgspec.Struct, frozen=True, tag_field="is", tag="held"):
    """The loss of everything that is held out."""

    loss: WindowLoss
    seconds: float
    cpu_seconds: float
    """Of this process so far, user and system."""


class Model(Protocol):
    """What is trained."""

    def train(self, window: Window, learning_rate: float) -> WindowLoss: ...

    def evaluate(self, window: Window) -> WindowLoss: ...


def run(
    course: Course,
    model: Model,
    *,
    say: Callable[[Stepped | Held], None],
    save: Callable[[int, int], None],
    stop: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
) -> Reason:
    """Train.

    Args:
        save: keep the weights; told how many epochs are complete, and steps of the next one.
        clock: seconds.
    """
    began = clock()
    steps = course.epochs * len(course.train)
    if course.epoch == course.step == 0 and not _held(course, model, say):
        return "nan"
    first = course.step
    for epoch in range(course.epoch, course.epochs):
        for at, number in enumerate(order(len(course.train), course.seed, epoch)[first:], first):
            before = time.perf_counter()
            loss = model.train(course.train[number], _rate(course, epoch, at, steps))
            if not math.isfinite(loss.loss_sum):
                return "nan"
            say(Stepped(loss, time.perf_counter() - before))
            early = _early(course, stop, clock() - began)
            if early is not None and at + 1 < len(course.train):
                if not _sound(course, model, say, held=early == "max_minutes"):
                    return "nan"
                save(epoch, at + 1)
                return early
        first = 0
        if not _sound(course, model, say, held=True):
            return "nan"
        save(epoch + 1, 0)
        early = _early(course, stop, clock() - began)
        if early is not None and epoch + 1 < course.epochs:
            return early
    return "epochs"


def _rate(course: Course, epoch: int, at: int, steps: int) -> float:
    return learning_rate(
        epoch * len(course.train) + at,
        steps,
        course.learning_rate,
        schedule=course.schedule,
        warmup=course.warmup,
    )


def _early(course: Course, stop: Callable[[], bool], seconds: float) -> Reason | None:
    if stop():
        return "stopped"
    return "max_minutes" if course.max_seconds and seconds >= course.max_seconds else None


def _sound(course: Course, model: Model, say: Callable[[Held], None], *, held: bool) -> bool:
    """Whether the weights give a loss that is a number; says that of the held-out examples."""
    if held and course.holdout:
        return _held(course, model, say)
    return math.isfinite(model.evaluate(course.train[0]).loss_sum)


def _held(course: Course, model: Model, say: Callable[[Held], None]) -> bool:
    if not course.holdout:
        return True
    before = time.perf_counter()
    losses = [model.evaluate(window) for window in course.holdout]
    total = WindowLoss(
        loss_sum=sum(loss.loss_sum for loss in losses),
        counted=sum(loss.counted for loss in losses),
        correct=sum(loss.correct for loss in losses),
    )
    if not math.isfinite(total.loss_sum):
        return False
    say(Held(total, time.perf_counter() - before, time.process_time()))
    return True


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
