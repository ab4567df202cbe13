"""Real models: what a request leaves in the context is gone on from as if it had been read."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from localprompt.engine.base import Finished, GenerationRequest, Prefilled, Token
from localprompt.engine.llama.engine import LlamaEngine
from localprompt.models.adapters import adapters_of
from localprompt.records.run import RequestedSettings, Sampling
from tests.conftest import THREADS
from tests.models.tiny_lora import write_lora

pytestmark = pytest.mark.model

ON = RequestedSettings(n_threads=THREADS, n_threads_batch=THREADS, flash_attn=True)
OFF = msgspec.structs.replace(ON, flash_attn=False)
TEXT = "The lighthouse keeper counts ships. " * 12


def _say(
    engine: LlamaEngine, ids: Sequence[int], *, held: int = 0, most: int = 12, keep: bool = True
) -> list[int]:
    request = GenerationRequest(tuple(ids), Sampling(max_tokens=most), held_tokens=held, keep=keep)
    return [event.token_id for event in engine.generate([request]) if isinstance(event, Token)]


@pytest.fixture
def engine(starter_model: Path) -> Iterator[LlamaEngine]:
    with LlamaEngine(starter_model, ON) as opened:
        opened.prepare(ON, n_ctx=512)
        yield opened


def _ids(engine: LlamaEngine, text: str = TEXT) -> list[int]:
    return engine.vocabulary.tokenize(text)


def test_prompt_and_answer_stay_but_for_the_last_token(engine: LlamaEngine) -> None:
    ids = _ids(engine)
    answer = _say(engine, ids)
    assert engine.held == (*ids, *answer[:-1])
    assert engine.cut_held(0)
    assert _say(engine, ids, keep=False) == answer
    assert engine.held == ()


def test_going_on_answers_as_reading_all_of_it_does(engine: LlamaEngine) -> None:
    ids = _ids(engine)
    answer = _say(engine, ids)
    longer = [*ids, *answer, *_ids(engine, " What does the keeper count?")]
    went_on = _say(engine, longer, held=len(engine.held))
    assert engine.cut_held(0)
    assert _say(engine, longer) == went_on


def test_going_back_to_the_prompt_is_as_if_the_answer_had_not_been(engine: LlamaEngine) -> None:
    ids = _ids(engine)
    engine.evaluate_prefix(ids[:-1])
    first = _say(engine, ids, held=len(ids) - 1)
    assert engine.cut_held(len(ids) - 1)
    assert engine.held == tuple(ids[:-1])
    assert _say(engine, ids, held=len(ids) - 1) == first


@pytest.mark.parametrize("to", [ON, OFF], ids=["with flash", "without"])
def test_a_larger_context_takes_over_what_is_held(
    engine: LlamaEngine, to: RequestedSettings
) -> None:
    ids = _ids(engine)
    answer = _say(engine, ids)
    longer = [*ids, *answer, *_ids(engine, " And then?")]
    held = engine.held
    engine.reopen(to, n_ctx=1024)
    assert engine.held == held
    assert engine.settings.n_ctx == 1024
    assert engine.settings.flash_attn == to.flash_attn
    went_on = _say(engine, longer, held=len(held))
    assert engine.cut_held(0)
    assert _say(engine, longer) == went_on


@pytest.mark.parametrize("to", [ON, OFF], ids=["with flash", "without"])
def test_another_process_goes_on_from_the_file(
    engine: LlamaEngine, starter_model: Path, tmp_path: Path, to: RequestedSettings
) -> None:
    ids = _ids(engine)
    answer = _say(engine, ids)
    file, held = tmp_path / "state", engine.held
    file.touch()
    engine.save_prefix(held, file)
    assert engine.saved_tokens(file) == held
    longer = [*ids, *answer, *_ids(engine, " And then?")]
    went_on = _say(engine, longer, held=len(held))
    with LlamaEngine(starter_model, to) as other:
        other.prepare(to, n_ctx=512)
        assert other.restore_prefix(held, file, from_flash=to is OFF)
        assert other.held == held
        assert _say(other, longer, held=len(held)) == went_on


def test_what_llama_cpp_chose_itself_is_laid_out_as_with_flash_attention(
    engine: LlamaEngine, starter_model: Path, tmp_path: Path
) -> None:
    own = msgspec.structs.replace(ON, flash_attn=None)
    engine.prepare(own, n_ctx=512)
    assert engine.settings.flash_attn is True
    ids = _ids(engine)
    answer = _say(engine, ids)
    file, held = tmp_path / "state", engine.held
    file.touch()
    engine.save_prefix(held, file)
    with LlamaEngine(starter_model, OFF) as other:
        other.prepare(OFF, n_ctx=512)
        assert other.restore_prefix(held, file, from_flash=True)
        assert _say(other, [*ids, *answer], held=len(held), most=1)


def test_a_file_that_is_no_state_has_no_tokens(engine: LlamaEngine, tmp_path: Path) -> None:
    file = tmp_path / "state"
    for content in (b"", b"GGUF", b"\0" * 100):
        file.write_bytes(content)
        assert engine.saved_tokens(file) == ()


def test_a_generator_that_is_left_holds_what_was_evaluated(engine: LlamaEngine) -> None:
    ids = _ids(engine)
    request = GenerationRequest(tuple(ids), Sampling(max_tokens=40), keep=True)
    events = engine.generate([request])
    seen = [next(events) for _ in range(6)]
    assert isinstance(events, Generator)
    events.close()
    assert isinstance(seen[0], Prefilled)
    answer = [event.token_id for event in seen if isinstance(event, Token)]
    held = engine.held
    assert held[: len(ids)] == tuple(ids)
    assert held == (*ids, *answer)[: len(held)]
    again = _say(engine, [*ids, *answer], held=len(held), most=8)
    assert engine.cut_held(0)
    assert _say(engine, [*ids, *answer], most=8) == again


def test_an_adapter_changes_answers_by_its_scale_and_0_is_none(
    engine: LlamaEngine, starter_model: Path, tmp_path: Path
) -> None:
    adapter = write_lora(tmp_path / "style.gguf", starter_model, strength=0.6)
    plain = _say(engine, _ids(engine), keep=False)
    conditions = [engine.state_conditions]

    def with_scale(scale: str) -> list[int]:
        settings = msgspec.structs.replace(ON, adapters=adapters_of([f"{adapter}{scale}"]))
        with LlamaEngine(starter_model, settings) as other:
            other.prepare(settings, n_ctx=512)
            conditions.append(other.state_conditions)
            assert other.settings.adapters == settings.adapters
            return _say(other, _ids(other), keep=False)

    assert with_scale(":0") == plain
    assert conditions[-1] == conditions[0]
    assert with_scale("") != plain
    assert conditions[-1] != conditions[0]


def test_finished_requests_say_so_with_what_they_hold(engine: LlamaEngine) -> None:
    request = GenerationRequest(tuple(_ids(engine)), Sampling(max_tokens=3), keep=True)
    events = list(engine.generate([request]))
    assert isinstance(events[-1], Finished)
    assert len(engine.held) == len(request.token_ids) + 2


# ---- sliding windows


@pytest.fixture(scope="module")
def windowed(base_model: Path) -> Iterator[LlamaEngine]:
    with LlamaEngine(base_model, ON) as opened:
        opened.prepare(ON, n_ctx=2048)
        yield opened


def test_a_window_goes_back_as_far_as_what_it_needs_is_there(windowed: LlamaEngine) -> None:
    ids = _ids(windowed, TEXT * 20)[:1400]
    answer = _say(windowed, ids)
    assert not windowed.can_cut
    assert windowed.can_cut_held(len(ids) - 1)
    assert windowed.cut_held(len(ids) - 1)
    assert _say(windowed, ids, held=len(ids) - 1) == answer
    assert not windowed.can_cut_held(100)
    assert not windowed.cut_held(100)
    assert windowed.held == ()


def test_a_file_goes_on_where_its_window_was_cut(
    windowed: LlamaEngine, base_model: Path, tmp_path: Path
) -> None:
    ids = _ids(windowed, TEXT * 12)[:900]
    windowed.cut_held(0)
    _say(windowed, ids)
    assert windowed.cut_held(len(ids) - 20)
    held, file = windowed.held, tmp_path / "state"
    file.touch()
    windowed.save_prefix(held, file)
    went_on = _say(windowed, ids, held=len(held))
    with LlamaEngine(base_model, ON) as other:
        other.prepare(ON, n_ctx=1024)
        assert other.restore_prefix(held, file)
        assert not other.can_cut_held(len(held) - 1)  # only the last window came back
        assert _say(other, ids, held=len(held)) == went_on
