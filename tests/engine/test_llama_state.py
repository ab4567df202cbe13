"""Real models: a beginning that was brought back gives the logits of one that was evaluated."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from localprompt.engine.base import GenerationRequest, Prefilled, Token
from localprompt.engine.device import Slot
from localprompt.engine.llama.engine import LlamaEngine
from localprompt.engine.llama.state import state_conditions
from localprompt.errors import EngineError
from localprompt.records.run import RequestedSettings, Sampling
from tests.conftest import THREADS
from tests.sample_runs import make_run

pytestmark = pytest.mark.model

SETTINGS = RequestedSettings(n_threads=THREADS, n_threads_batch=THREADS)
N_CTX = 512
TEXTS = (
    "You sort questions by topic. " * 14,
    "".join(f"Line {n}: {n} times {n} is {n * n}.\n" for n in range(12)),
    "Português, 日本語, Ελληνικά 😀; " * 6,
)


class Outcome(NamedTuple):
    """What followed a beginning."""

    logits: tuple[bytes, ...]
    """After the prompt's last token, and after each greedy token."""
    text: bytes


def _ids(engine: LlamaEngine, text: str, count: int) -> tuple[int, ...]:
    ids = engine.vocabulary.tokenize(text)
    return tuple((ids * (1 + count // len(ids)))[:count])


def _go_on(engine: LlamaEngine, start: int, rest: Sequence[int]) -> Outcome:
    """The rest of the prompt and four greedy tokens, after so many that the context holds."""
    context, words = engine.context, len(engine.vocabulary)
    row, logits, text = ctypes.c_float * words, [], b""
    for _ in range(5):
        last = start + len(rest) - 1
        context.decode([Slot(t, at, (0,), at == last) for at, t in enumerate(rest, start)])
        pointer = context._lib.llama_get_logits_ith(context.pointer, len(rest) - 1)
        values = row.from_address(ctypes.addressof(pointer.contents))
        logits.append(bytes(values))
        start, rest = last + 1, [max(range(words), key=values.__getitem__)]
        text += engine.vocabulary.piece(rest[0])
    return Outcome(tuple(logits), text)


def _cold_and_restored(
    model: Path, settings: RequestedSettings, beginning: int, rest: int, text: str, file: Path
) -> tuple[Outcome, Outcome]:
    """Evaluated and written; and brought back by an engine of its own."""
    n_ctx = beginning + rest + 16
    file.touch()
    with LlamaEngine(model, settings) as engine:
        ids = _ids(engine, text, beginning + rest)
        first, last = ids[:beginning], ids[beginning:]
        engine.prepare(settings, n_ctx=n_ctx)
        engine.evaluate_prefix(first)
        engine.save_prefix(first, file)
        cold = _go_on(engine, beginning, last)
    with LlamaEngine(model, settings) as engine:
        engine.prepare(settings, n_ctx=n_ctx)
        assert engine.restore_prefix(first, file)
        return cold, _go_on(engine, beginning, last)


@pytest.mark.parametrize("text", TEXTS, ids=["instructions", "examples", "scripts"])
@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
def test_logits_and_text_are_those_of_a_cold_run(
    starter_model: Path, tmp_path: Path, kv_type: str, text: str
) -> None:
    settings = msgspec.structs.replace(SETTINGS, type_k=kv_type, type_v=kv_type)
    cold, restored = _cold_and_restored(starter_model, settings, 70, 25, text, tmp_path / "state")
    assert restored == cold
    assert restored.text


def test_without_flash_attention_too(starter_model: Path, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SETTINGS, flash_attn=False)
    cold, restored = _cold_and_restored(
        starter_model, settings, 70, 25, TEXTS[0], tmp_path / "state"
    )
    assert restored == cold


def test_a_beginning_that_has_left_the_sliding_window_too(base_model: Path, tmp_path: Path) -> None:
    """Its cells lie elsewhere when it is brought back; a rest of 80 tokens is attended in tiles,
    where that shows."""
    cold, restored = _cold_and_restored(base_model, SETTINGS, 600, 80, TEXTS[1], tmp_path / "state")
    assert restored == cold


@pytest.fixture(scope="module")
def kept(starter_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """The file of a state of 40 tokens."""
    file = tmp_path_factory.mktemp("kept") / "state"
    file.touch()
    with LlamaEngine(starter_model, SETTINGS) as engine:
        ids = list(_ids(engine, TEXTS[0], 40))
        engine.prepare(SETTINGS, n_ctx=N_CTX)
        engine.evaluate_prefix(ids)
        engine.save_prefix(ids, file)
    return file, ids


def _state(model: Path, ids: Sequence[int], tmp_path: Path, **settings: object) -> bytes:
    requested = msgspec.structs.replace(SETTINGS, **settings)
    file = tmp_path / "state"
    file.touch()
    with LlamaEngine(model, requested) as engine:
        engine.prepare(requested, n_ctx=2 * N_CTX)
        engine.evaluate_prefix(ids)
        engine.save_prefix(ids, file)
    return file.read_bytes()


def test_threads_mmap_and_the_size_of_the_context_have_no_say(
    starter_model: Path, kept: tuple[Path, list[int]], tmp_path: Path
) -> None:
    """They are not among the conditions, so they must give the same bytes."""
    file, ids = kept
    assert _state(starter_model, ids, tmp_path, n_threads_batch=1, use_mmap=False) == (
        file.read_bytes()
    )


def test_settings_that_change_a_state_are_among_its_conditions(starter_model: Path) -> None:
    with LlamaEngine(starter_model, SETTINGS) as engine:
        engine.prepare(SETTINGS, n_ctx=N_CTX)
        usual = engine.state_conditions
        for change in ({"n_ubatch": 32}, {"flash_attn": False}, {"type_k": "q8_0"}):
            engine.prepare(msgspec.structs.replace(SETTINGS, **change), n_ctx=N_CTX)
            assert engine.state_conditions != usual
        engine.prepare(SETTINGS, n_ctx=2 * N_CTX)
        assert engine.state_conditions == usual


def test_a_file_that_is_gone_or_of_other_tokens_or_types_is_not_brought_back(
    starter_model: Path, kept: tuple[Path, list[int]], tmp_path: Path
) -> None:
    file, ids = kept
    with LlamaEngine(starter_model, SETTINGS) as engine:
        engine.prepare(SETTINGS, n_ctx=N_CTX)
        assert not engine.restore_prefix(ids, tmp_path / "gone")
        assert not engine.restore_prefix([*ids[:-1], 5], file)
        assert not engine.restore_prefix(ids[:-1], file)
        assert engine.restore_prefix(ids, file)
        other = msgspec.structs.replace(SETTINGS, type_k="q8_0")
        engine.prepare(other, n_ctx=N_CTX)
        assert not engine.restore_prefix(ids, file)
        # What was not brought back leaves nothing behind.
        engine.evaluate_prefix(ids)
        request = GenerationRequest((*ids, 5), Sampling(max_tokens=2), held_tokens=len(ids))
        assert [type(event) for event in engine.generate([request])][:2] == [Prefilled, Token]


def test_a_disk_that_is_full_is_an_error_with_llama_cpps_reason(
    starter_model: Path, kept: tuple[Path, list[int]]
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    _, ids = kept
    with LlamaEngine(starter_model, SETTINGS) as engine:
        engine.prepare(SETTINGS, n_ctx=N_CTX)
        engine.evaluate_prefix(ids)
        with pytest.raises(EngineError) as caught:
            engine.save_prefix(ids, full)
    assert "space" in str(caught.value)


def test_a_state_of_weights_in_another_layout_is_another_state() -> None:
    usual = make_run().settings
    kinds = ({"CPU_Mapped": 2}, {"CPU": 1}, {"AMX": 1, "CPU_Mapped": 1}, {"CPU_REPACK": 1})
    mapped, read, amx, repacked = (
        state_conditions(msgspec.structs.replace(usual, buffers=held), 4096) for held in kinds
    )
    assert mapped == read
    assert len({str(one) for one in (read, amx, repacked)}) == 3
