"""Figures of a request: defined once, unknown where nothing happened."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.measure.timeline import (
    Marks,
    TokenEvent,
    samples,
    timing,
    token_gaps,
)
from localprompt.records.run import TokenCounts

MARKS = Marks(
    submitted=100.0, tokenized=100.5, prefill_start=100.5, prefill_end=102.5, finished=106.5
)


def events(*seconds: float) -> list[TokenEvent]:
    return [TokenEvent(second, has_text=True) for second in seconds]


def counts(completion: int, prompt: int = 10, reused: int = 0) -> TokenCounts:
    return TokenCounts(prompt=prompt, reused=reused, completion=completion)


def test_every_figure_of_an_ordinary_request() -> None:
    found = timing(
        MARKS,
        events(103.0, 104.0, 106.0),
        counts(3, prompt=10, reused=4),
        load_seconds=7.0,
        render_seconds=0.25,
    )
    assert found.load_seconds == 7.0
    assert found.render_seconds == 0.25
    assert found.tokenize_seconds == 0.5
    assert found.prefill_seconds == 2.0
    assert found.prefill_tokens_per_second == 3.0
    assert found.ttft_seconds == 3.0
    assert found.decode_seconds == 3.0
    assert found.decode_tokens_per_second == pytest.approx(2 / 3)
    assert found.itl_p50_seconds == 1.5
    assert found.itl_p95_seconds == pytest.approx(1.95)
    assert found.total_seconds == 6.75


def test_loading_is_in_no_other_figure() -> None:
    with_load = timing(MARKS, events(103.0, 104.0), counts(2), load_seconds=50.0)
    without = timing(MARKS, events(103.0, 104.0), counts(2))
    assert msgspec.structs.replace(with_load, load_seconds=None) == without


def test_reading_a_kept_state_is_part_of_ttft_and_not_of_prefill() -> None:
    marks = msgspec.structs.replace(MARKS, prefix_store_seconds=0.5)
    found = timing(marks, events(103.0), counts(1, prompt=10, reused=7))
    assert found.prefix_store_seconds == 0.5
    assert found.prefill_seconds == 1.5
    assert found.prefill_tokens_per_second == 2.0
    assert found.ttft_seconds == 3.0


def test_no_token_has_neither_ttft_nor_decode() -> None:
    found = timing(MARKS, [], counts(0))
    assert found.ttft_seconds is None
    assert found.decode_seconds is None
    assert found.decode_tokens_per_second is None
    assert found.itl_p50_seconds is None
    assert found.itl_p95_seconds is None
    assert found.prefill_tokens_per_second == 5.0


def test_one_token_has_a_ttft_but_no_decode_rate() -> None:
    found = timing(MARKS, events(103.0), counts(1))
    assert found.ttft_seconds == 3.0
    assert found.decode_seconds is None
    assert found.decode_tokens_per_second is None
    assert found.itl_p50_seconds is None


def test_ttft_waits_for_text_while_decode_starts_with_the_first_token() -> None:
    tokens = [
        TokenEvent(103.0, has_text=False),
        TokenEvent(104.0, has_text=True),
        TokenEvent(105.0, has_text=True),
    ]
    found = timing(MARKS, tokens, counts(3))
    assert found.ttft_seconds == 4.0
    assert found.decode_seconds == 2.0


def test_text_released_at_the_end_is_the_first_text_where_no_token_brought_any() -> None:
    tokens = [TokenEvent(103.0, has_text=False)]
    marks = msgspec.structs.replace(MARKS, released=103.5)
    assert timing(marks, tokens, counts(1)).ttft_seconds == 3.5
    assert timing(MARKS, tokens, counts(1)).ttft_seconds is None


def test_released_text_does_not_move_a_ttft_that_a_token_has_set() -> None:
    marks = msgspec.structs.replace(MARKS, released=106.0)
    assert timing(marks, events(103.0, 104.0), counts(2)).ttft_seconds == 3.0


def test_a_prompt_that_was_wholly_reused_has_no_prefill_rate() -> None:
    found = timing(MARKS, events(103.0), counts(1, prompt=10, reused=10))
    assert found.prefill_tokens_per_second is None
    assert found.prefill_seconds == 2.0


def test_an_interrupted_prefill_leaves_unknown_what_it_did_not_reach() -> None:
    found = timing(Marks(submitted=1.0, tokenized=1.5, prefill_start=1.5), [], counts(0))
    assert found.tokenize_seconds == 0.5
    assert found.prefill_seconds is None
    assert found.prefill_tokens_per_second is None
    assert found.total_seconds is None


def test_a_clock_that_did_not_move_gives_no_infinite_rate() -> None:
    marks = Marks(submitted=1.0, tokenized=1.0, prefill_start=1.0, prefill_end=1.0, finished=1.0)
    found = timing(marks, events(1.0, 1.0), counts(2))
    assert found.prefill_tokens_per_second is None
    assert found.decode_tokens_per_second is None
    assert found.decode_seconds == 0.0


def test_moments_that_run_backwards_are_refused() -> None:
    with pytest.raises(ValueError, match="backwards"):
        timing(MARKS, events(104.0, 103.0), counts(2))


def test_a_token_count_that_differs_from_the_events_is_refused() -> None:
    with pytest.raises(ValueError, match="2 tokens counted, 1 events"):
        timing(MARKS, events(103.0), counts(2))


def test_raw_samples_count_from_submission() -> None:
    assert samples(MARKS, events(103.0, 104.5)).token_seconds == (3.0, 4.5)


moments = st.lists(st.integers(0, 10_000), min_size=6, max_size=40).map(sorted)


@given(moments, st.integers(0, 5), st.integers(-1000, 1000))
def test_figures_agree_with_each_other_and_do_not_depend_on_the_clocks_origin(
    ticks: list[int], silent: int, shift: int
) -> None:
    def measure(origin: int) -> tuple[Marks, list[TokenEvent]]:
        times = [float(tick + origin) for tick in ticks]
        marks = Marks(times[0], times[1], times[2], times[3], finished=times[-1])
        tokens = [TokenEvent(at, index >= silent) for index, at in enumerate(times[4:-1])]
        return marks, tokens

    marks, tokens = measure(0)
    found = timing(marks, tokens, counts(len(tokens)))
    assert found == timing(*measure(shift), counts(len(tokens)))
    gaps = token_gaps(samples(marks, tokens).token_seconds)
    assert sum(gaps) == (found.decode_seconds or 0)
    assert found.total_seconds is not None
    if found.ttft_seconds is not None:
        assert (found.tokenize_seconds or 0) <= found.ttft_seconds <= found.total_seconds
    if found.decode_tokens_per_second is not None and found.decode_seconds is not None:
        assert found.decode_tokens_per_second * found.decode_seconds == pytest.approx(len(gaps))
    if found.itl_p50_seconds is not None and found.itl_p95_seconds is not None:
        assert min(gaps) <= found.itl_p50_seconds <= found.itl_p95_seconds <= max(gaps)
