from __future__ import annotations

from collections.abc import Sequence

from localprompt.improve.race import blocks, race


def test_blocks_double_and_hold_every_case_once() -> None:
    cases = list(range(160))
    assert [len(block) for block in blocks(cases)] == [20, 20, 40, 80]
    assert [one for block in blocks(cases) for one in block] == cases
    assert [len(block) for block in blocks(list(range(30)))] == [8, 22]
    assert [len(block) for block in blocks(cases, 1 / 16)] == [10, 10, 20, 40, 80]


class Field:
    """Candidates that are right on a share of the cases."""

    def __init__(self, shares: dict[str, float]) -> None:
        self.shares = shares
        self.asked: dict[str, int] = dict.fromkeys(shares, 0)

    def ask(self, key: str, block: Sequence[int]) -> None:
        self.asked[key] += len(block)

    def values(self, key: str, seen: Sequence[int]) -> list[float | None]:
        return [float((one * 37 % 100) < self.shares[key] * 100) for one in seen]

    def score(self, key: str, seen: Sequence[int]) -> float:
        return sum(v or 0 for v in self.values(key, seen)) / len(seen)


def test_the_best_wins_and_a_third_of_the_grid_is_asked() -> None:
    field = Field({f"c{at}": 0.3 + 0.02 * at for at in range(24)})
    runs = race(list(field.shares), range(160), field.ask, field.values, field.score, kept="c0")
    assert next(iter(runs)) == "c23"
    assert runs["c0"].rounds == 4  # what the others are compared with runs to the end
    assert sum(field.asked.values()) <= 0.40 * 24 * 160
    assert sum(n for key, n in field.asked.items() if key != "c0") <= 0.35 * 24 * 160


def test_a_candidate_that_cannot_be_asked_is_given_up_and_the_race_goes_on() -> None:
    field = Field({"a": 0.5, "b": 0.9})

    def ask(key: str, block: Sequence[int]) -> None:
        if key == "b":
            raise ValueError("the prompt does not fit into the context")
        field.ask(key, block)

    runs = race(["a", "b"], range(40), ask, field.values, field.score, kept="a")
    assert runs["b"].out == "the prompt does not fit into the context"
    assert next(iter(runs)) == "a"


def test_who_is_shown_to_be_worse_is_out_before_half_of_the_field_is() -> None:
    field = Field({"good": 0.9, "fair": 0.88, "hopeless": 0.02, "bad": 0.02})
    runs = race(list(field.shares), range(160), field.ask, field.values, field.score, kept="good")
    assert runs["hopeless"].out == "shown to be worse after 20 cases"
    assert runs["fair"].rounds == 4  # as few as may answer the last block go on to it


def test_a_race_ends_before_a_block_that_cannot_be_paid_for() -> None:
    field = Field({"a": 0.5, "b": 0.9, "c": 0.1})
    asked: list[int] = []

    def room(answers: int) -> bool:
        asked.append(answers)
        return len(asked) < 3

    runs = race(
        list(field.shares), range(160), field.ask, field.values, field.score, kept="a", room=room
    )
    assert next(iter(runs)) == "b"
    assert asked == [60, 40, 80]
    assert (runs["a"].rounds, runs["b"].rounds) == (2, 2)
    assert runs["b"].out is None
