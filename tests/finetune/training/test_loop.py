from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.engine.windows import Window, WindowLoss
from localprompt.finetune.training.loop import (
    Course,
    Held,
    Reason,
    Stepped,
    learning_rate,
    order,
    run,
)
from localprompt.records.training import Schedule


def window(number: int) -> Window:
    return Window((number,), (number,), (True,), (1,))


class Scripted:
    """Loses one nat each time; from step ``bad`` on what it says is no number."""

    def __init__(self, bad: int | None = None) -> None:
        self.trained: list[int] = []
        self._bad = bad

    def train(self, window: Window, learning_rate: float) -> WindowLoss:
        assert learning_rate > 0
        self.trained.append(window.token_ids[0])
        return self.evaluate(window)

    def evaluate(self, window: Window) -> WindowLoss:
        broken = self._bad is not None and len(self.trained) >= self._bad
        return WindowLoss(math.nan if broken else 1.0, 1, 0)


class Watched:
    """A run of the loop with everything that it did."""

    def __init__(
        self,
        model: Scripted,
        *,
        windows: int = 3,
        epochs: int = 2,
        at: tuple[int, int] = (0, 0),
        holdout: int = 1,
        max_seconds: float | None = None,
        stop_after: int | None = None,
    ) -> None:
        self.said: list[Stepped | Held] = []
        self.saved: list[tuple[int, int]] = []
        course = Course(
            train=tuple(window(n) for n in range(windows)),
            holdout=tuple(window(n) for n in range(holdout)),
            epochs=epochs,
            learning_rate=0.1,
            schedule="linear",
            warmup=0.1,
            seed=0,
            max_seconds=max_seconds,
            epoch=at[0],
            step=at[1],
        )
        self.reason: Reason = run(
            course,
            model,
            say=self.said.append,
            save=lambda epoch, step: self.saved.append((epoch, step)),
            stop=lambda: stop_after is not None and len(model.trained) >= stop_after,
            clock=_ticking(),
        )


def _ticking() -> Callable[[], float]:
    moments = iter(range(10**6))
    return lambda: float(next(moments))


def test_each_epoch_takes_every_window_once_and_saves() -> None:
    model = Scripted()
    watched = Watched(model)
    assert watched.reason == "epochs"
    assert sorted(model.trained[:3]) == sorted(model.trained[3:]) == [0, 1, 2]
    assert watched.saved == [(1, 0), (2, 0)]
    assert sum(isinstance(reply, Held) for reply in watched.said) == 3, "before, and after each"


def test_asked_to_stop_it_saves_after_the_step_and_goes_on_from_there() -> None:
    whole, first, second = Scripted(), Scripted(), Scripted()
    Watched(whole)
    stopped = Watched(first, stop_after=2)
    assert (stopped.reason, stopped.saved) == ("stopped", [(0, 2)])
    resumed = Watched(second, at=(0, 2))
    assert resumed.reason == "epochs"
    assert first.trained + second.trained == whole.trained
    assert sum(isinstance(reply, Held) for reply in resumed.said) == 2, "not before the rest"


def test_when_the_time_is_up_it_ends_with_a_held_out_loss() -> None:
    watched = Watched(Scripted(), epochs=50, max_seconds=4)
    assert watched.reason == "max_minutes"
    assert isinstance(watched.said[-1], Held)
    assert watched.saved


@pytest.mark.parametrize("holdout", [0, 1])
@pytest.mark.parametrize("bad", [1, 3, 4])
def test_weights_that_give_no_number_are_never_saved(bad: int, holdout: int) -> None:
    watched = Watched(Scripted(bad=bad), holdout=holdout)
    assert watched.reason == "nan"
    assert watched.saved == ([(1, 0)] if bad > 3 else [])


def test_weights_that_broke_in_the_last_step_are_not_saved_on_a_stop() -> None:
    watched = Watched(Scripted(bad=3), windows=5, holdout=0, stop_after=2)
    assert (watched.reason, watched.saved) == ("stopped", [(0, 2)])
    broken = Watched(Scripted(bad=2), windows=5, holdout=0, stop_after=2)
    assert (broken.reason, broken.saved) == ("nan", [])


@given(
    steps=st.integers(1, 500),
    schedule=st.sampled_from(["linear", "cosine", "constant"]),
    warmup=st.floats(0, 1),
)
def test_the_rate_rises_and_then_never_rises_again(
    steps: int, schedule: Schedule, warmup: float
) -> None:
    rates = [
        learning_rate(step, steps, 0.5, schedule=schedule, warmup=warmup) for step in range(steps)
    ]
    top = rates.index(max(rates))
    assert all(0 < rate <= 0.5 for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_the_order_is_the_same_for_a_seed_and_another_in_each_epoch() -> None:
    assert order(50, 1, 0) == order(50, 1, 0)
    assert order(50, 1, 0) != order(50, 1, 1)
    assert sorted(order(50, 1, 0)) == list(range(50))
