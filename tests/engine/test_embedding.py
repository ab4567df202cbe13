from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from localprompt.engine.llama.engine import LlamaEngine
from localprompt.errors import ContextOverflowError, EngineError
from localprompt.records.run import RequestedSettings
from tests.conftest import THREADS

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def engine(starter_model: Path) -> Iterator[LlamaEngine]:
    with LlamaEngine(starter_model, RequestedSettings(n_threads=THREADS)) as engine:
        yield engine


def cosine(engine: LlamaEngine, one: str, other: str) -> float:
    first, second = engine.embed(one)[0], engine.embed(other)[0]
    return math.fsum(a * b for a, b in zip(first, second, strict=True))


def test_texts_of_one_meaning_lie_closer_than_others(engine: LlamaEngine) -> None:
    text = "The cat sat on the mat."
    near = cosine(engine, text, "A cat was sitting on a mat.")
    far = cosine(engine, text, "Stock prices rose sharply.")
    assert cosine(engine, text, text) == pytest.approx(1, abs=1e-3)
    assert near > far + 0.05


def test_a_model_that_answers_says_that_its_states_were_averaged(engine: LlamaEngine) -> None:
    assert engine.embed("text")[1] is True


def test_what_has_no_vector_says_so(engine: LlamaEngine) -> None:
    with pytest.raises(ContextOverflowError, match="too long"):
        engine.embed("word " * 3000)
    with pytest.raises(EngineError, match="empty"):
        engine.embed("")
