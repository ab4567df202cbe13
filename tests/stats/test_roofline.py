"""Limits by hand, and the side that binds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.stats.roofline import Ceilings, TokenWork, decode_limit, prefill_limit

WORK = TokenWork(
    weight_bytes=1_000_000,
    matrix_parameters=1_500_000,
    output_parameters=500_000,
    layers=10,
    attention_width=64,
    kv_bytes_per_position=1000.0,
)
FAST_ARITHMETIC = Ceilings(bytes_per_second=1e9, operations_per_second=1e15)
FAST_MEMORY = Ceilings(bytes_per_second=1e15, operations_per_second=1e9)


def test_decode_is_bound_by_reading_weights_and_cache() -> None:
    found = decode_limit(WORK, FAST_ARITHMETIC, prompt_tokens=90, completion_tokens=20)
    # 1 MB of weights and 100 positions of 1 kB, at 1 GB/s
    assert found.tokens_per_second == pytest.approx(1e9 / 1_100_000)
    assert found.binds == "memory bandwidth"
    assert found.share(found.tokens_per_second / 2) == pytest.approx(0.5)
    assert found.share(None) is None


def test_decode_can_be_bound_by_arithmetic() -> None:
    found = decode_limit(WORK, FAST_MEMORY, prompt_tokens=90, completion_tokens=20)
    assert found.tokens_per_second == pytest.approx(1e9 / (4_000_000 + 4 * 10 * 64 * 100))
    assert found.binds == "arithmetic"


def test_prefill_multiplies_every_token_but_makes_logits_once() -> None:
    found = prefill_limit(WORK, FAST_MEMORY, tokens=3, n_ubatch=512)
    operations = 2 * 1_500_000 * 3 + 2 * 500_000 + 4 * 10 * 64 * (1 + 2 + 3)
    assert found.tokens_per_second == pytest.approx(3 * 1e9 / operations)
    assert found.binds == "arithmetic"


def test_prefill_after_reused_tokens_attends_to_them_without_computing_them() -> None:
    found = prefill_limit(WORK, FAST_MEMORY, tokens=2, reused_tokens=100, n_ubatch=512)
    operations = 2 * 1_500_000 * 2 + 2 * 500_000 + 4 * 10 * 64 * (101 + 102)
    assert found.tokens_per_second == pytest.approx(2 * 1e9 / operations)


def test_prefill_reads_the_weights_once_for_each_batch() -> None:
    found = prefill_limit(WORK, FAST_ARITHMETIC, tokens=1025, n_ubatch=512)
    assert found.tokens_per_second == pytest.approx(1025 * 1e9 / (3_000_000 + 1000 * 1025))
    assert found.binds == "memory bandwidth"


def test_a_prefill_of_nothing_has_no_limit() -> None:
    with pytest.raises(ValueError, match="no tokens"):
        prefill_limit(WORK, FAST_MEMORY, tokens=0, reused_tokens=10, n_ubatch=512)


@given(st.integers(1, 4000), st.integers(2, 500), st.floats(1e6, 1e12), st.floats(1e6, 1e14))
def test_longer_contexts_and_slower_machines_never_raise_a_limit(
    prompt: int, completion: int, bandwidth: float, arithmetic: float
) -> None:
    ceilings = Ceilings(bandwidth, arithmetic)
    found = decode_limit(WORK, ceilings, prompt_tokens=prompt, completion_tokens=completion)
    longer = decode_limit(WORK, ceilings, prompt_tokens=prompt + 1, completion_tokens=completion)
    slower = decode_limit(
        WORK,
        Ceilings(bandwidth / 2, arithmetic / 2),
        prompt_tokens=prompt,
        completion_tokens=completion,
    )
    assert longer.tokens_per_second < found.tokens_per_second
    assert slower.tokens_per_second == pytest.approx(found.tokens_per_second / 2)
