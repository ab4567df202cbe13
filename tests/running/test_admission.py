"""Prompts into contexts, contexts into memory."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.errors import ContextOverflowError, NotEnoughMemoryError
from localprompt.measure.memory import AvailableMemory, MemoryReading
from localprompt.models.predict import LIBRARIES_BYTES, NUMPY_BYTES
from localprompt.records.cell import Cell, MemoryLimit
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import Message, PromptTemplate, Segment
from localprompt.records.run import CONTEXT_STEP, RequestedSettings, Sampling
from localprompt.running.admission import (
    check_memory,
    context_size,
    over_limit,
    predicted_peak,
    resident_before_opening,
    within_limit,
)
from localprompt.units import MIB
from tests.models.tiny_gguf import tiny_gguf


def cell(path: str = "nowhere.gguf", *, max_tokens: int = 100, n_ctx: int | None = None) -> Cell:
    return Cell(
        kind="ask",
        model=ModelRecord("tiny", path),
        template=PromptTemplate(name="it", body="user:\nHi", path="it.prompty"),
        params={},
        sampling=Sampling(max_tokens=max_tokens),
        settings=RequestedSettings(n_ctx=n_ctx),
    )


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf())
    return str(path)


def test_the_context_is_as_large_as_prompt_and_answer_need() -> None:
    assert context_size(cell(), 50, 2048) == 150
    assert context_size(cell(n_ctx=512), 50, 2048) == 512


def test_the_answer_may_be_cut_at_what_the_model_was_trained_on() -> None:
    assert context_size(cell(), 2000, 2048) == 2048


@given(
    prompt=st.integers(1, 10_000),
    answer=st.integers(1, 10_000),
    trained=st.integers(1, 10_000),
    requested=st.none() | st.integers(1, 10_000),
)
def test_what_is_opened_always_has_room_for_a_token_of_the_answer(
    prompt: int, answer: int, trained: int, requested: int | None
) -> None:
    asked = cell(max_tokens=answer, n_ctx=requested)
    try:
        n_ctx = context_size(asked, prompt, trained)
    except ContextOverflowError:
        assert prompt >= (requested or trained)
    else:
        assert prompt < n_ctx <= (requested or trained)


def test_a_prompt_that_is_too_long_comes_with_an_n_ctx_that_would_do(tiny: str) -> None:
    asked = cell(tiny, n_ctx=64)
    with pytest.raises(ContextOverflowError) as caught:
        context_size(asked, 300, 2048)
    error = caught.value
    assert error.where == "it.prompty"
    assert error.expected == "fewer than 64 tokens (n_ctx)"
    assert error.found == "300 tokens"
    proposed = re.match(r"--n-ctx (\d+) \(about .* of memory, estimated\)", error.next_step or "")
    assert proposed
    n_ctx = int(proposed[1])
    assert n_ctx % CONTEXT_STEP == 0
    assert context_size(cell(tiny, n_ctx=n_ctx), 300, 2048) >= 300 + 100


def test_a_prompt_beyond_the_training_is_better_shortened(tiny: str) -> None:
    with pytest.raises(ContextOverflowError) as caught:
        context_size(cell(tiny), 3000, 2048)
    assert (caught.value.next_step or "").startswith("shorten the prompt: tiny was trained on 2048")
    assert "--n-ctx 3328" in (caught.value.next_step or "")


def test_without_a_header_there_is_no_prediction_and_nothing_is_refused() -> None:
    assert predicted_peak(cell(), 512) is None
    check_memory(cell(), (), 0)
    with pytest.raises(ContextOverflowError) as caught:
        context_size(cell(n_ctx=8), 300, 2048)
    assert caught.value.next_step == "--n-ctx 512"


def test_the_prediction_starts_from_what_is_resident_already(tiny: str) -> None:
    low, high = (predicted_peak(cell(tiny), 512, base) for base in (10 * MIB, 30 * MIB))
    assert low is not None
    assert high is not None
    assert high - low == 20 * MIB


def test_what_would_not_fit_is_refused_with_both_figures_and_forced_if_asked(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = AvailableMemory(None, None, 70 * MIB, None, None)
    monkeypatch.setattr("localprompt.measure.memory.available", lambda: free)
    check_memory(cell(tiny), (), 0)
    large = cell(tiny, n_ctx=1_000_000)
    with pytest.raises(NotEnoughMemoryError) as caught:
        check_memory(large, (), 0)
    assert (caught.value.expected or "").endswith("(estimated, at n_ctx 1000000)")
    assert caught.value.found == "70.0 MiB free"
    assert "--force" in (caught.value.next_step or "")
    check_memory(msgspec.structs.replace(large, force=True), (), 0)


def test_a_long_prompt_counts_before_there_is_a_tokenizer(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    def noted(_: Cell, n_ctx: int, __: int | None) -> int:
        asked["n_ctx"] = n_ctx
        return 0

    monkeypatch.setattr("localprompt.running.admission.predicted_peak", noted)
    check_memory(cell(tiny, max_tokens=10), (Message("user", (Segment("x" * 90),)),), 0)
    assert asked["n_ctx"] == 40
    check_memory(cell(tiny, max_tokens=10), (Message("user", (Segment("x" * 9000),)),), 0)
    assert asked["n_ctx"] == 128  # what the model was trained on


def limited(path: str, limit: int, *fixed: str, force: bool = False) -> Cell:
    plain = cell(path, n_ctx=512)
    return msgspec.structs.replace(plain, limit=MemoryLimit(limit, fixed=fixed), force=force)


def test_without_a_limit_nothing_is_chosen(tiny: str) -> None:
    asked = cell(tiny)
    assert within_limit(asked, 512, 10, 0) == (asked, 512)


def test_a_limit_chooses_settings_that_are_predicted_to_fit(tiny: str) -> None:
    whole = predicted_peak(cell(tiny), 512, 0, 300)
    assert whole is not None
    chosen, n_ctx = within_limit(limited(tiny, whole - 1), 512, 300, 0)
    assert n_ctx == 512
    assert chosen.settings.n_ubatch == 256
    peak = predicted_peak(chosen, n_ctx, 0, 300)
    assert peak is not None
    assert peak < whole


def test_what_nothing_fits_into_is_refused_before_loading_unless_forced(tiny: str) -> None:
    with pytest.raises(NotEnoughMemoryError) as caught:
        check_memory(limited(tiny, MIB), (), 0)
    assert caught.value.where == "--max-memory"
    assert (caught.value.next_step or "").startswith("--max-memory ")
    forced = limited(tiny, MIB, force=True)
    check_memory(forced, (), 0)
    chosen, n_ctx = within_limit(forced, 512, 10, 0)
    assert (n_ctx, chosen.settings.n_ubatch) == (256, 32)


def test_a_limit_below_free_memory_lets_in_what_would_not_fit_whole(
    tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = msgspec.structs.replace(cell(tiny), limit=MemoryLimit(60 * MIB))
    long_text = (Message("user", (Segment("x" * 400),)),)
    free = AvailableMemory(None, None, 60 * MIB + 64 * MIB, None, None)
    monkeypatch.setattr("localprompt.measure.memory.available", lambda: free)
    monkeypatch.setattr("localprompt.running.admission.predicted_peak", lambda *_: 500 * MIB)
    check_memory(asked, long_text, 0)
    with pytest.raises(NotEnoughMemoryError):
        check_memory(msgspec.structs.replace(asked, limit=None), long_text, 0)


def test_taking_more_than_allowed_is_said() -> None:
    asked = limited("nowhere.gguf", 100 * MIB)
    assert over_limit(asked, 100 * MIB) == over_limit(asked, None) == ()
    assert over_limit(cell(), 2**50) == ()
    (warning,) = over_limit(asked, 110 * MIB)
    assert warning.code == "over_max_memory"
    assert warning.message == "the run took 110 MiB, more than --max-memory 100 MiB"


def test_libraries_that_are_still_to_be_loaded_count(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = MemoryReading(rss_bytes=MIB, peak_rss_bytes=MIB)
    monkeypatch.setitem(sys.modules, "llama_cpp.llama_cpp", ModuleType("llama_cpp.llama_cpp"))
    assert resident_before_opening(reading) == MIB
    monkeypatch.delitem(sys.modules, "llama_cpp.llama_cpp")
    assert resident_before_opening(reading) == MIB + LIBRARIES_BYTES
    assert resident_before_opening(MemoryReading(None, None)) is None


def test_numpy_counts_where_it_is_still_to_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = MemoryReading(rss_bytes=MIB, peak_rss_bytes=MIB)
    monkeypatch.setitem(sys.modules, "llama_cpp.llama_cpp", ModuleType("llama_cpp.llama_cpp"))
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    assert resident_before_opening(reading) == MIB
    assert resident_before_opening(reading, reads_logits=True) == MIB + NUMPY_BYTES
    monkeypatch.setitem(sys.modules, "numpy", ModuleType("numpy"))
    assert resident_before_opening(reading, reads_logits=True) == MIB
