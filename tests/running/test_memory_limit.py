"""Settings chosen for a limit of memory."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.models.inspect import ModelInfo
from localprompt.models.layout import Layout
from localprompt.records.run import RequestedSettings
from localprompt.running.memory_limit import Demand, fit_into, peak_bytes, refusal, smallest
from localprompt.units import GIB, MIB, parse_bytes
from tests.models.test_inspect import SHAPES

INFOS = {name: msgspec.convert(shape, ModelInfo) for name, shape in SHAPES.items()}
SMOLLM = INFOS["smollm2-135m"]
FIELDS = ("n_ctx", "n_ubatch", "n_batch", "type_k", "type_v")


@pytest.fixture(autouse=True)
def _any_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures here are those of weights without copies, whatever this CPU is."""
    monkeypatch.setattr("localprompt.models.predict.layout_here", Layout)


def demand(**changes: object) -> Demand:
    plain = Demand(RequestedSettings(), n_ctx=4096, prompt_tokens=700, baseline_bytes=40_000_000)
    return msgspec.structs.replace(plain, **changes)


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    prompt = draw(st.integers(1, 6000))
    settings = RequestedSettings(
        n_batch=draw(st.sampled_from((None, 64, 512, 2048))),
        n_ubatch=draw(st.sampled_from((None, 1, 48, 512, 1024))),
        type_k=draw(st.sampled_from(("f32", "f16", "q8_0", "q4_0"))),
        type_v=draw(st.sampled_from(("f16", "q8_0"))),
        flash_attn=draw(st.sampled_from((None, True, False))),
        use_mmap=draw(st.booleans()),
        repack=draw(st.booleans()),
    )
    return Demand(
        settings=settings,
        n_ctx=prompt + draw(st.integers(1, 4000)),
        prompt_tokens=prompt,
        baseline_bytes=draw(st.integers(10**6, 10**8)),
        fixed=tuple(draw(st.sets(st.sampled_from(FIELDS)))),
    )


models = st.sampled_from(sorted(INFOS)).map(INFOS.__getitem__)
limits = st.integers(50 * MIB, 2 * GIB)


@given(models, demands(), limits)
def test_what_is_chosen_is_within_the_limit_and_nothing_is_chosen_only_if_nothing_can_be(
    info: ModelInfo, wanted: Demand, limit: int
) -> None:
    found = fit_into(info, wanted, limit)
    least = smallest(info, wanted)
    if found is None:
        assert least.peak_bytes > limit
        return
    assert least.peak_bytes <= found.peak_bytes <= limit
    assert found.settings.n_ctx == found.n_ctx
    assert found.peak_bytes == peak_bytes(
        info,
        found.settings,
        n_ctx=found.n_ctx,
        prompt_tokens=wanted.prompt_tokens,
        baseline_bytes=wanted.baseline_bytes,
    )


@given(models, demands(), limits, st.integers(0, GIB))
def test_a_higher_limit_never_gives_a_smaller_context(
    info: ModelInfo, wanted: Demand, limit: int, more: int
) -> None:
    low, high = fit_into(info, wanted, limit), fit_into(info, wanted, limit + more)
    if low is not None:
        assert high is not None
        assert high.n_ctx >= low.n_ctx


@given(models, demands(), limits)
def test_what_was_typed_stays_and_the_prompt_keeps_room_for_an_answer(
    info: ModelInfo, wanted: Demand, limit: int
) -> None:
    found = fit_into(info, wanted, limit)
    if found is None:
        return
    assert wanted.prompt_tokens < found.n_ctx <= wanted.n_ctx
    if "n_ctx" in wanted.fixed:
        assert found.n_ctx == wanted.n_ctx
    for field in ("type_k", "type_v"):
        if field in wanted.fixed:
            assert getattr(found.settings, field) == getattr(wanted.settings, field)
    effective = min(wanted.settings.n_ubatch or 512, wanted.settings.n_batch or 512)
    assert (found.settings.n_ubatch or 0) <= effective
    if "n_ubatch" in wanted.fixed:
        assert found.settings.n_ubatch == effective


@given(models, demands())
def test_enough_memory_changes_nothing(info: ModelInfo, wanted: Demand) -> None:
    found = fit_into(info, wanted, 2**50)
    assert found is not None
    assert found.n_ctx == wanted.n_ctx
    assert (found.settings.type_k, found.settings.type_v) == (
        wanted.settings.type_k,
        wanted.settings.type_v,
    )


def test_the_batch_gives_way_before_the_cache_and_the_cache_before_the_context() -> None:
    wanted = demand()
    seen = []
    for limit in range(110, 400):
        found = fit_into(SMOLLM, wanted, limit * MIB)
        if found is not None:
            seen.append((found.n_ctx, found.settings.type_k, found.settings.n_ubatch))
    assert seen[-1] == (4096, "f16", 512)
    assert seen[0] == (768, "q8_0", 32)
    widths = [("q8_0", "f16").index(type_k) for n_ctx, type_k, _ in seen if n_ctx == 4096]
    assert widths == sorted(widths)
    assert set(widths) == {0, 1}
    assert (4096, "f16", 128) in seen


def test_quantized_values_need_flash_attention() -> None:
    found = smallest(SMOLLM, demand(settings=RequestedSettings(flash_attn=False)))
    assert (found.settings.type_k, found.settings.type_v) == ("q8_0", "f16")


def test_heads_that_are_no_whole_blocks_keep_their_types() -> None:
    odd = msgspec.structs.replace(SMOLLM, key_length=80, value_length=80)
    found = smallest(odd, demand())
    assert (found.settings.type_k, found.settings.type_v) == ("f16", "f16")


def test_a_refusal_names_a_limit_that_is_enough() -> None:
    wanted = demand()
    assert fit_into(SMOLLM, wanted, 100 * MIB) is None
    error = refusal(SMOLLM, wanted, 100 * MIB, {})
    assert error.found == "100 MiB"
    assert "(estimated, at n_ctx 768, KV q8_0/q8_0, n_ubatch 32)" in (error.expected or "")
    enough = parse_bytes((error.next_step or "").split()[1])
    assert fit_into(SMOLLM, wanted, enough) is not None
    assert fit_into(SMOLLM, wanted, enough - 2 * MIB) is None


def test_a_refusal_names_typed_settings_without_which_it_would_fit() -> None:
    wanted = demand(fixed=("n_ctx", "type_k", "n_threads"))
    enough = smallest(SMOLLM, demand()).peak_bytes
    assert fit_into(SMOLLM, wanted, enough) is None
    assert "leave out --n-ctx, --type-k" in (refusal(SMOLLM, wanted, enough, {}).next_step or "")


def test_a_refusal_names_the_largest_other_model_that_would_fit() -> None:
    large = msgspec.structs.replace(SMOLLM, weights_bytes=3 * GIB)
    larger = msgspec.structs.replace(SMOLLM, weights_bytes=SMOLLM.weights_bytes + 10 * MIB)
    error = refusal(large, demand(), GIB, {"small": SMOLLM, "larger": larger, "same": large})
    assert "-m larger (at least " in (error.next_step or "")
    assert "-m small" not in (error.next_step or "")


def test_a_refusal_proposes_to_do_without_the_second_copy_of_repacked_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repacking = Layout(repacked=frozenset({"Q4_0"}))
    monkeypatch.setattr("localprompt.models.predict.layout_here", lambda: repacking)
    repacked = INFOS["smollm2-135m-q4_0"]
    mapped = demand(settings=RequestedSettings(use_mmap=True))
    plain = demand(settings=RequestedSettings(use_mmap=True, repack=False))
    limit = smallest(repacked, plain).peak_bytes
    assert limit < smallest(repacked, mapped).peak_bytes
    assert "--no-repack" in (refusal(repacked, mapped, limit, {}).next_step or "")
    assert "--no-mmap" in (refusal(repacked, mapped, limit, {}).next_step or "")
    assert "--no-repack" not in (refusal(repacked, plain, limit - MIB, {}).next_step or "")
