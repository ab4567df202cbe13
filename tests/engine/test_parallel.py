"""As many requests at once as are of use, and never more than fit."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.catalog.inspect import ModelInfo
from localprompt.engine.parallel import MOST_GENERATING, MOST_SCORING, ParallelPlan, plan_parallel
from localprompt.errors import NotEnoughMemoryError
from localprompt.records import RequestedSettings
from localprompt.units import GIB, MIB
from tests.catalog.test_inspect import SHAPES

INFO = msgspec.convert(SHAPES["smollm2-135m"], ModelInfo)


def _plan(
    free_bytes: int = 8 * GIB,
    longest_prompt: int = 100,
    max_tokens: int = 64,
    shared_prefix_tokens: int = 0,
    branches: int | None = None,
    requests: int | None = None,
    settings: RequestedSettings | None = None,
) -> ParallelPlan:
    return plan_parallel(
        INFO,
        free_bytes=free_bytes,
        longest_prompt=longest_prompt,
        max_tokens=max_tokens,
        shared_prefix_tokens=shared_prefix_tokens,
        branches=branches,
        requests=requests,
        settings=settings or RequestedSettings(),
    )


def test_short_answers_go_sixteen_at_a_time() -> None:
    plan = _plan(longest_prompt=40)
    assert (plan.parallel, plan.n_batch) == (MOST_GENERATING, 512)
    assert plan.n_ctx == 1792  # 16 x 104, to the next 256


def test_a_shared_prefix_takes_its_cells_once() -> None:
    plan = _plan(longest_prompt=490, max_tokens=4, shared_prefix_tokens=455)
    assert plan.parallel == MOST_GENERATING
    assert plan.n_ctx == 1280  # 455 + 16 x 39


def test_long_prompts_of_their_own_go_fewer_at_a_time() -> None:
    assert _plan(longest_prompt=450).parallel == 3
    assert _plan(longest_prompt=4000).parallel == 2


def test_closed_answers_fill_a_batch() -> None:
    plan = _plan(longest_prompt=490, max_tokens=0, shared_prefix_tokens=455, branches=1)
    assert plan.parallel == 512 // 35 + 2
    assert _plan(longest_prompt=5, max_tokens=0, branches=1).parallel == MOST_SCORING


def test_choices_that_branch_take_a_sequence_for_each_branch() -> None:
    plan = _plan(longest_prompt=60, max_tokens=6, branches=3)
    assert plan.parallel % 3 == 0
    assert plan.parallel // 3 == 512 // 66 + 2


def test_there_are_never_more_sequences_than_requests() -> None:
    assert _plan(requests=3).parallel == 3
    assert _plan(requests=1).parallel == 1


def test_limits_of_the_user_are_kept() -> None:
    plan = _plan(settings=RequestedSettings(n_ctx=512, n_batch=100))
    assert plan.n_ctx <= 512
    assert plan.n_batch == 64
    assert _plan(settings=RequestedSettings(n_batch=32)).n_batch == 32


def test_less_memory_means_fewer_at_a_time_and_then_none() -> None:
    roomy = _plan()
    tight = _plan(free_bytes=roomy.predicted_bytes - 20 * MIB)
    assert 1 <= tight.parallel < roomy.parallel
    with pytest.raises(NotEnoughMemoryError, match="not even one request"):
        _plan(free_bytes=50 * MIB)


@given(
    st.integers(60 * MIB, 600 * MIB),
    st.integers(1, 3000),
    st.integers(0, 300),
    st.integers(0, 2000),
    st.none() | st.integers(1, 4),
)
def test_every_plan_fits_and_holds_its_requests(
    free_bytes: int, longest: int, max_tokens: int, shared: int, branches: int | None
) -> None:
    shared = min(shared, longest - 1)
    try:
        plan = _plan(free_bytes, longest, max_tokens, shared, branches)
    except NotEnoughMemoryError:
        return
    assert plan.predicted_bytes <= free_bytes
    requests = plan.parallel // (branches or 1)
    assert plan.n_ctx >= shared + requests * (longest - shared + max_tokens)
    assert requests >= 1
