from __future__ import annotations

import multiprocessing
import re
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from localprompt.records import ids
from localprompt.records.ids import IdSource, new_run_id


def ticking(times: list[float]) -> Iterator[float]:
    yield from times


def test_an_id_has_the_layout_of_a_ulid() -> None:
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", new_run_id())


def test_the_ulid_of_a_known_moment_and_noise_is_the_known_one() -> None:
    # The example of the ULID specification: 1469918176385 ms is written 01ARYZ6S41.
    source = IdSource(lambda: 1469918176.385, bytes)
    assert source.new() == "01ARYZ6S41" + "0" * 16


@given(st.lists(st.floats(0, 2**40, allow_nan=False), min_size=2, max_size=30), st.binary())
def test_ids_ascend_in_the_order_they_were_drawn_whatever_the_clock_does(
    times: list[float], noise: bytes
) -> None:
    clock = ticking(times)
    source = IdSource(lambda: next(clock), lambda length: noise[:length].ljust(length, b"\xff"))
    drawn = [source.new() for _ in times]
    assert drawn == sorted(set(drawn))


def test_ids_of_one_process_never_repeat_within_a_millisecond() -> None:
    drawn = [new_run_id() for _ in range(5000)]
    assert drawn == sorted(set(drawn))


def test_a_forked_child_does_not_count_on_from_its_parents_last_id() -> None:
    before = ids._source
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(ids._source is before))
    child.start()
    try:
        assert receiver.recv() is False
    finally:
        child.join()
