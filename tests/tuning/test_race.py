from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from localprompt.tuning.race import race


class Field:
    """Candidates that always take as long as they are called."""

    def __init__(self, *, failing: str | None = None) -> None:
        self.runs: Counter[float] = Counter()
        self._failing = failing

    def more(self, seconds: float, times: int) -> list[float] | None:
        self.runs[seconds] += times
        return None if str(seconds) == self._failing else [seconds] * times


def test_the_fastest_comes_first_and_runs_most() -> None:
    field = Field()
    found = race({str(s): float(s) for s in range(10, 18)}, field.more)
    assert next(iter(found)) == "10"
    assert field.runs[10.0] == 6
    assert field.runs[17.0] == 1


def test_a_hopeless_candidate_runs_once() -> None:
    field = Field()
    race({"1": 1.0, "2": 2.0}, field.more)
    assert field.runs[2.0] == 1


def test_the_candidate_that_is_kept_runs_to_the_end_however_slow() -> None:
    field = Field()
    found = race({"1": 1.0, "2": 1.1, "9": 9.0}, field.more, kept="9")
    assert field.runs[9.0] == field.runs[1.0] == 6
    assert found["9"].rounds == 3


def test_a_candidate_that_fails_is_out_and_comes_last() -> None:
    field = Field(failing="1.0")
    found = race({"1": 1.0, "2": 2.0, "3": 2.1}, field.more)
    assert list(found)[-1] == "1"
    assert found["1"].failed
    assert next(iter(found)) == "2"


def test_a_race_where_all_fail_has_no_winner() -> None:
    found = race({"1": 1.0}, lambda _, __: None)
    assert found["1"].failed
    assert found["1"].seconds == ()


@given(st.sets(st.integers(1, 1000), min_size=1, max_size=20), st.integers(0, 5))
def test_without_noise_the_fastest_always_wins(seconds: set[int], seed: int) -> None:
    field = Field()
    found = race({str(s): float(s) for s in seconds}, field.more, seed=seed)
    assert next(iter(found)) == str(min(seconds))
    assert sum(field.runs.values()) <= 6 * len(seconds)
