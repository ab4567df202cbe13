"""The context that an evaluation opens, by what its requests need."""

from __future__ import annotations

from localprompt.engine.prefixes import MOST_NESTED
from localprompt.evaluate.room import (
    LEAST_APART,
    MOST_APART,
    MOST_APART_BYTES,
    MOST_SHARING,
    Room,
    room_apart,
    shared_room,
)

A_CELL = 20_000


def _always(room: Room) -> bool:
    return True


def _kv_cache(cells: int) -> int:
    return cells * A_CELL


def test_short_answers_of_a_small_model_get_cells_of_their_own() -> None:
    room = room_apart([120] * 64, None, _always, None, _kv_cache)
    assert room == Room(parallel=MOST_APART, cells=256, kv_unified=False)
    assert room.sequences * _kv_cache(256) <= MOST_APART_BYTES


def test_fewer_sequences_where_each_takes_more() -> None:
    room = room_apart([500] * 64, None, _always, None, _kv_cache)
    assert room is not None
    assert MOST_SHARING <= room.parallel < MOST_APART
    assert (room.parallel + MOST_NESTED) * _kv_cache(512) <= MOST_APART_BYTES


def test_long_prompts_and_large_models_share() -> None:
    assert room_apart([2000] * 64, None, _always, None, _kv_cache) is None
    assert room_apart([120] * 64, None, _always, None, lambda cells: cells * 500_000) is None


def test_one_request_and_an_unknown_model_share() -> None:
    assert room_apart([120], None, _always, None, _kv_cache) is None
    assert room_apart([120] * 64, 1, _always, None, _kv_cache) is None
    assert room_apart([120] * 64, None, _always, None, lambda _: None) is None


def test_what_does_not_fit_into_memory_is_not_dealt_out() -> None:
    assert room_apart([120] * 64, None, lambda _: False, None, _kv_cache) is None


def test_as_many_as_the_user_asked_for_or_all_of_them_share() -> None:
    room = room_apart([120] * 64, 9, _always, None, _kv_cache)
    assert room == Room(parallel=9, cells=256, kv_unified=False)
    # 64 of 256 cells each would take more than they may.
    assert room_apart([120] * 64, 64, _always, None, _kv_cache) is None
    assert shared_room([120] * 64, 0, 64, _always, None).parallel == 64


def test_few_at_once_share() -> None:
    assert room_apart([120] * (LEAST_APART - 1), None, _always, None, _kv_cache) is None
    assert room_apart([120] * 64, LEAST_APART - 1, _always, None, _kv_cache) is None


def test_a_room_apart_stays_as_large_as_it_was() -> None:
    before = Room(32, 512, kv_unified=False)
    small = room_apart([120], None, _always, before, lambda cells: cells * 10_000)
    assert small == before
    larger = room_apart([700], None, _always, before, lambda cells: cells * 1_000)
    assert larger == Room(32, 768, kv_unified=False)


def test_no_more_sequences_than_llama_cpp_has() -> None:
    needs = [100] * 1000
    assert shared_room(needs, 0, 300, _always, None).sequences == 256
    apart = room_apart(needs, 300, _always, None, lambda cells: cells)
    assert apart is not None
    assert apart.sequences == 256


def test_a_model_without_a_cache_shares() -> None:
    assert room_apart([120] * 64, None, _always, None, lambda _: 0) is None


def test_shared_cells_hold_the_largest_requests_at_once() -> None:
    needs = [300, 200, 100, 50]
    assert shared_room(needs, 0, 2, _always, None) == Room(2, 512, kv_unified=True)
    assert shared_room([9] * 64, 0, None, _always, None).parallel == MOST_SHARING


def test_what_all_begin_with_is_there_once() -> None:
    room = shared_room([640] * 200, 600, None, _always, None)
    assert room == Room(MOST_SHARING, 1280, kv_unified=True)  # 600 + 16 x 40, in steps of 256
    assert room.holds([640] * 200, 600, MOST_SHARING)
    assert not room.holds([640] * 200, 0, MOST_SHARING)


def test_fewer_share_where_memory_is_short() -> None:
    room = shared_room([256] * 64, 0, None, lambda room: room.cells <= 1024, None)
    assert room == Room(4, 1024, kv_unified=True)


def test_one_request_is_tried_whatever_is_predicted() -> None:
    assert shared_room([5000], 0, None, lambda _: False, None) == Room(1, 5120, kv_unified=True)


def test_an_open_context_does_not_shrink() -> None:
    before = Room(16, 4096, kv_unified=True)
    assert shared_room([100], 0, None, _always, before) == before
    assert before.holds([100], 0, 1)
    assert not before.holds([5000], 0, 1)


def test_cells_apart_hold_what_fits_into_one_sequence() -> None:
    room = Room(8, 256, kv_unified=False)
    assert room.holds([256] * 8, 0, 8)
    assert not room.holds([257], 0, 1)
    assert not room.holds([10] * 9, 0, 9)
