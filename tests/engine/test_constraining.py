"""Constraints on the real starter model: its vocabulary, what is forced, what is guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localprompt import paths
from localprompt.engine.base import Constraint, Finished, GenerationRequest, Token
from localprompt.engine.constraints.grammars import of_choices
from localprompt.engine.constraints.holding import hold
from localprompt.engine.llama.engine import LlamaEngine
from localprompt.records.prompt import Message, Segment
from localprompt.records.run import RequestedSettings, Sampling

pytestmark = pytest.mark.model

SETTINGS = RequestedSettings(n_threads=1, n_threads_batch=1)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "kind": {"enum": ["private customer", "business customer"]},
    },
    "required": ["name", "kind"],
}


def _answer(
    engine: LlamaEngine,
    text: str,
    constraint: Constraint | None = None,
    *,
    parallel: int = 1,
    **sampling: Any,
) -> tuple[str, list[Token], Finished]:
    drawn = Sampling(**{"max_tokens": 60, **sampling})
    prompt = engine.encode([Message("user", (Segment(text),))])
    engine.prepare(
        SETTINGS, n_ctx=(len(prompt.token_ids) + drawn.max_tokens) * parallel, parallel=parallel
    )
    request = GenerationRequest(prompt.token_ids, drawn, constraint)
    events = [event for event in engine.generate([request] * parallel) if event.request == 0]
    tokens = [event for event in events if isinstance(event, Token)]
    last = events[-1]
    assert isinstance(last, Finished)
    return "".join(token.text for token in tokens) + last.text, tokens, last


@pytest.fixture
def engine(starter_model: Path) -> Any:
    with LlamaEngine(starter_model, SETTINGS) as engine:
        yield engine


def test_keys_and_the_rest_of_values_are_forced(engine: LlamaEngine) -> None:
    text, tokens, last = _answer(engine, "John buys for his shop.", hold(SCHEMA).constraint)
    assert json.loads(text)["kind"] in SCHEMA["properties"]["kind"]["enum"]
    assert last.shortcuts.forced >= len(tokens) // 3
    assert last.reason == "stop"


def test_forced_text_has_the_tokens_that_the_model_s_own_tokenizer_makes(
    engine: LlamaEngine,
) -> None:
    constraint = of_choices(('{"customer_number": 17, "remarks": ["none at all"]}',))
    text, tokens, last = _answer(engine, "Go.", constraint)
    ids = [token.token_id for token in tokens]
    assert ids == engine.vocabulary.tokenize(text)
    assert last.shortcuts.forced == len(ids)


@pytest.mark.parametrize("text", ["<|im_end|> and on", "<|endoftext|>", "a <|im_start|>user b"])
def test_no_text_of_a_constraint_becomes_a_control_token(engine: LlamaEngine, text: str) -> None:
    said, tokens, _ = _answer(engine, "Go.", of_choices((text, f"{text}!")))
    assert said in {text, f"{text}!"}
    controls = set(engine.vocabulary.pieces().controls)
    assert controls.isdisjoint(token.token_id for token in tokens)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_several_at_once_are_held_as_one_alone_is(engine: LlamaEngine, temperature: float) -> None:
    constraint = hold(SCHEMA).constraint
    text, _, _ = _answer(engine, "John.", constraint, parallel=3, temperature=temperature, seed=5)
    assert json.loads(text)["kind"] in SCHEMA["properties"]["kind"]["enum"]


def test_the_same_seed_draws_the_same_answer_with_guesses_and_without(
    engine: LlamaEngine,
) -> None:
    line = "The ferry to the islands leaves at nine and comes back at five in the afternoon."
    prompt = f"Repeat this line three times, word for word: {line}"
    drawn: dict[str, Any] = {"temperature": 0.4, "seed": 11, "max_tokens": 48}
    encoded = engine.encode([Message("user", (Segment(prompt),))])
    engine.prepare(SETTINGS, n_ctx=len(encoded.token_ids) + 48)
    assert not engine.context.can_rewind, "guesses do not pay with so small a model"
    request = GenerationRequest(encoded.token_ids, Sampling(**drawn))
    said = {}
    for guessing in (False, True):
        engine.context.can_rewind = guessing
        tokens = [event for event in engine.generate([request]) if isinstance(event, Token)]
        said[guessing] = [token.token_id for token in tokens]
        assert bool(tokens[-1].shortcuts.accepted) == guessing
    assert said[True] == said[False]


def test_the_vocabulary_is_kept_and_a_damaged_file_is_as_good_as_none(
    starter_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path))
    constraint = of_choices(("yes", "no"))

    def ask() -> str:
        with LlamaEngine(starter_model, SETTINGS, model_sha256="ab12", constrained=True) as engine:
            return _answer(engine, "Yes or no?", constraint)[0]

    first = ask()
    (kept,) = (paths.cache_folder() / "vocabularies").iterdir()
    whole = kept.read_bytes()
    assert ask() == first
    for damaged in (b"", whole[:1000], b"x" * 1000):
        kept.write_bytes(damaged)
        assert ask() == first
        assert kept.read_bytes() == whole, "it is written again"


def test_a_home_that_cannot_be_written_is_no_obstacle(
    starter_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    with LlamaEngine(starter_model, SETTINGS, model_sha256="ab12", constrained=True) as engine:
        assert _answer(engine, "Yes or no?", of_choices(("yes", "no")))[0] in {"yes", "no"}
