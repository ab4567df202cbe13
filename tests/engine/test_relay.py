"""A state evaluated with flash attention goes on without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from localprompt.engine.base import GenerationRequest, Token
from localprompt.engine.llama import state
from localprompt.engine.llama.engine import LlamaEngine
from localprompt.engine.llama.relay import transpose_values
from localprompt.errors import EngineError
from localprompt.records.prompt import Message, Segment
from localprompt.records.run import RequestedSettings, Sampling

pytestmark = pytest.mark.model

FLASH = RequestedSettings(n_threads=1, n_threads_batch=1, flash_attn=True)
PLAIN = RequestedSettings(n_threads=1, n_threads_batch=1, flash_attn=False)
TEXT = "The capital of France is Paris, and that of Italy is Rome. " * 8


def message(text: str) -> Message:
    return Message("user", (Segment(text),))


def answer(engine: LlamaEngine, token_ids: tuple[int, ...], held: int) -> list[int]:
    request = GenerationRequest(token_ids, Sampling(max_tokens=8), held_tokens=held)
    return [event.token_id for event in engine.generate([request]) if isinstance(event, Token)]


def test_values_are_turned_and_the_answer_stays(starter_model: Path) -> None:
    with LlamaEngine(starter_model, FLASH) as engine:
        token_ids = engine.encode([message(TEXT + "What is the capital of Italy?")]).token_ids
        beginning = token_ids[:-1]
        engine.prepare(FLASH, n_ctx=512)
        engine.evaluate_prefix(beginning)
        flash = state.take_out(engine.context)
        usual = answer(engine, token_ids, len(beginning))

        engine.prepare(PLAIN, n_ctx=512)
        engine.evaluate_prefix(beginning, with_flash=True)
        assert engine.settings.flash_attn is False
        turned = state.take_out(engine.context)
        assert answer(engine, token_ids, len(beginning)) == usual

        transpose_values(flash)
        assert np.array_equal(flash, turned), "no number changed"
        with pytest.raises(EngineError, match="not laid out"):
            transpose_values(turned)
        with pytest.raises(EngineError, match="not laid out"):
            transpose_values(flash[:1000].copy())


def test_a_context_of_another_layout_refuses_what_was_not_turned(starter_model: Path) -> None:
    with LlamaEngine(starter_model, FLASH) as engine:
        token_ids = engine.encode([message(TEXT)]).token_ids
        engine.prepare(FLASH, n_ctx=512)
        engine.evaluate_prefix(token_ids)
        flash = state.take_out(engine.context)
        engine.prepare(PLAIN, n_ctx=512)
        with pytest.raises(EngineError, match="take over its own state"):
            state.put_back(engine.context, flash)
