"""How the requests of an evaluation go through a model, from what a machine takes."""

from __future__ import annotations

from localprompt.evaluate.ways import Shape, reason, ways
from localprompt.records.attention import StepCost
from localprompt.running.attention_costs import Costs
from tests.attention_tables import even, table

USUAL = (32, 16)
STEPS = tuple(StepCost(n, 0.004 + 0.001 * n) for n in (1, 2, 4, 8, 16, 32, 64))
AMX = Costs(table(), 30, STEPS)


def shape(shared: int = 30, own: int = 50, answer: int = 64, requests: int = 64) -> Shape:
    return Shape(shared, own, answer, requests)


def test_short_texts_decode_without_flash_attention_many_at_once() -> None:
    best, *others = ways(shape(), AMX, generating=True, usual=USUAL)
    assert not best.flash_attn
    assert best.parallel > 4
    assert len(others) == 3, "each kind of attention and cells has its best"
    on = min(way.seconds for way in others if way.flash_attn)
    assert best.seconds < on
    assert reason(best, (best, *others)).startswith(f"off ({best.parallel} at once ")


def test_a_long_shared_beginning_is_met_in_the_same_cells() -> None:
    some = shape(shared=500, own=20, answer=64, requests=16)
    best, *_ = ways(some, AMX, generating=True, usual=USUAL)
    assert (best.flash_attn, best.apart) == (False, False)


def test_scored_choices_stay_with_flash_attention_in_shared_cells() -> None:
    found = ways(shape(own=100, answer=0), AMX, generating=False, usual=USUAL)
    assert found[0].flash_attn
    assert not any(way.apart for way in found)


def test_a_machine_that_makes_no_difference_keeps_flash_attention() -> None:
    costs = Costs(table(even), 30, STEPS)
    for one in (shape(), shape(own=400), shape(answer=1), shape(answer=0)):
        assert ways(one, costs, generating=one.answer_tokens > 0, usual=USUAL)[0].flash_attn


def test_what_is_known_of_attention_alone_does_not_choose_how_many_at_once() -> None:
    found = ways(shape(), Costs(table(), 30), generating=True, usual=USUAL)
    assert {way.parallel for way in found if way.apart} == {32}
    assert {way.parallel for way in found if not way.apart} == {16}


def test_no_more_at_once_than_there_are_and_one_where_each_waits() -> None:
    assert all(
        way.parallel <= 3 for way in ways(shape(requests=3), AMX, generating=True, usual=USUAL)
    )
    in_turn = Shape(30, 50, 64, 64, in_turn=True)
    found = ways(in_turn, AMX, generating=True, usual=USUAL)
    assert {way.parallel for way in found} == {1}
    assert "one after the other" in reason(found[0], found)


def test_almost_as_fast_is_enough_for_what_takes_fewer_cells() -> None:
    flat = tuple(StepCost(n, 0.001 * n) for n in (1, 2, 64))
    nothing = Costs(table(lambda flash, tokens, depth: 0.0), 30, flat)
    best, *_ = ways(shape(), nothing, generating=True, usual=USUAL)
    assert best.parallel == 1, "nothing is gained by a batch"


def test_a_shape_is_read_from_some_prompts() -> None:
    found = Shape.of([(1, 2, 3, 4), (1, 2, 5), (1, 2, 6, 7, 8)], 10, 99)
    assert found == Shape(2, 2, 10, 99)
    assert Shape.of([(1, 2, 3)], 0, 1) == Shape(0, 3, 0, 1)
