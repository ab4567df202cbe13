"""The real starter model over many prompts: shared prefixes and closed answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from localprompt.engine.base import (
    ChoiceRequest,
    EncodedPrompt,
    Finished,
    GenerationRequest,
    Prefilled,
    Scored,
    Token,
)
from localprompt.engine.llama.engine import LlamaEngine
from localprompt.records.prompt import Message, Segment
from localprompt.records.run import RequestedSettings, Sampling
from tests.conftest import THREADS

pytestmark = pytest.mark.model

SETTINGS = RequestedSettings(n_threads=THREADS, n_threads_batch=THREADS)
EXAMPLES = "Say what colour a thing has.\n" + "".join(
    f"{thing}: {colour}\n"
    for thing, colour in [("snow", "white"), ("coal", "black"), ("blood", "red"), ("sky", "blue")]
    for _ in range(4)
)
THINGS = ("grass", "milk", "a tomato", "the night")
LABELS = ("green", "white", "red", "very dark", "very dark blue")


@pytest.fixture(scope="module")
def engine(starter_model: Path) -> Iterator[LlamaEngine]:
    with LlamaEngine(starter_model, SETTINGS) as engine:
        yield engine


def _prompts(engine: LlamaEngine) -> list[EncodedPrompt]:
    return [
        engine.encode(
            (Message("system", (Segment(EXAMPLES),)), Message("user", (Segment(thing, "thing"),)))
        )
        for thing in THINGS
    ]


def _scores(scored: Scored) -> list[float]:
    return [score.log_probability for score in scored.scores]


def test_answers_with_a_shared_prefix_are_those_without(engine: LlamaEngine) -> None:
    requests = [
        GenerationRequest(prompt.token_ids, Sampling(max_tokens=4)) for prompt in _prompts(engine)
    ]
    engine.prepare(SETTINGS, n_ctx=512, parallel=3)
    events = list(engine.generate(iter(requests)))
    reused = {e.request: e.reused_tokens for e in events if isinstance(e, Prefilled)}
    assert all(64 < count < len(requests[n].token_ids) for n, count in reused.items())
    first = {e.request: e.token_id for e in reversed(events) if isinstance(e, Token)}
    engine.prepare(SETTINGS, n_ctx=512)
    for n, request in enumerate(requests):
        alone = [e for e in engine.generate([request]) if isinstance(e, Token)]
        assert first[n] == alone[0].token_id
    assert sum(isinstance(e, Finished) for e in events) == len(requests)


def test_answers_in_cells_of_their_own_are_those_in_shared_cells(engine: LlamaEngine) -> None:
    prompts = _prompts(engine)
    requests = [
        GenerationRequest(prompt.token_ids, Sampling(max_tokens=3 + 4 * n))
        for n, prompt in enumerate(prompts)
    ]
    found: list[dict[int, list[int]]] = []
    for kv_unified in (True, False):
        engine.prepare(SETTINGS, n_ctx=1024, parallel=4, kv_unified=kv_unified)
        events = list(engine.generate(iter(requests)))
        assert all(e.reused_tokens > 64 for e in events if isinstance(e, Prefilled))
        answers: dict[int, list[int]] = {n: [] for n in range(len(requests))}
        for event in events:
            if isinstance(event, Token):
                answers[event.request].append(event.token_id)
        found.append(answers)
    shared, apart = found
    # Rounding may tell later tokens apart; the first ones come out of prompts evaluated alike.
    assert {n: ids[0] for n, ids in apart.items()} == {n: ids[0] for n, ids in shared.items()}
    assert engine.settings.n_ctx == 8 * 1024


def test_choices_score_alike_in_one_batch_and_one_by_one(engine: LlamaEngine) -> None:
    requests = [engine.with_choices(prompt, LABELS) for prompt in _prompts(engine)]
    engine.prepare(SETTINGS, n_ctx=512, parallel=6)
    together = {one.request: one for one in engine.score_choices(iter(requests))}
    engine.prepare(SETTINGS, n_ctx=512)
    for n, request in enumerate(requests):
        (alone,) = engine.score_choices([request])
        # Other kernels, other rounding: one by one in batches of 32 differs from batches of 512
        # by as much. Of another prompt's cells the scores would be off by several nats.
        assert _scores(together[n]) == pytest.approx(_scores(alone), abs=0.6)
        assert together[n].reused_tokens > 64


def test_a_score_is_the_log_softmax_along_the_choice(engine: LlamaEngine) -> None:
    import numpy as np

    request = engine.with_choices(_prompts(engine)[0], LABELS)
    dark = next(choice for choice in request.choices if choice.text == "very dark")
    engine.prepare(SETTINGS, n_ctx=512)
    (scored,) = engine.score_choices([ChoiceRequest(request.token_ids, (dark,))])
    total = 0.0
    for n, token_id in enumerate(dark.token_ids):
        ids = request.token_ids + dark.token_ids[:n]
        list(engine.generate([GenerationRequest(ids, Sampling(max_tokens=1))]))
        pointer = engine._lib.llama_get_logits_ith(engine.context.pointer, -1)
        logits = np.ctypeslib.as_array(pointer, shape=(len(engine.vocabulary),)).astype(float)
        total += logits[token_id] - logits.max()
        total -= math.log(np.exp(logits - logits.max()).sum())
    assert scored.scores[0].log_probability == pytest.approx(total, abs=0.1)


def test_choices_are_tokenized_as_the_model_would_write_them(engine: LlamaEngine) -> None:
    prompt = _prompts(engine)[0]
    request = engine.with_choices(prompt, LABELS)
    assert request.token_ids == prompt.token_ids
    ends = {choice.text: choice.token_ids for choice in request.choices}
    for label, ids in ends.items():
        written = engine.vocabulary._tokenize(prompt.text + label, parse_special=True)
        plain = tuple(written[len(prompt.token_ids) :])
        assert ids[: len(plain)] == plain
        # "very dark" begins "very dark blue", so it is told apart by its end.
        ended = ids[len(plain) :]
        assert ended == ((engine.vocabulary.eos,) if label == "very dark" else ())


TAILS = (
    "The kettle, bought in March, whistles; it is loud and it is red. " * 6 + "Label:",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. " * 6 + "Antwort: ",
    "def f(x):\n    return x + 1  # a comment, and 12,345 things\n" * 8 + "# says: ",
    "春天来了，花儿都开了。孩子们在公园里放风筝。" * 12 + "答案:",
    "one  two   three \t four\n\n" * 20 + "=>",
)


@pytest.mark.parametrize("text", TAILS)
@pytest.mark.parametrize("which", ["starter_model", "base_model"])
def test_the_end_of_a_long_prompt_gives_its_choices_the_tokens_of_the_whole(
    which: str, text: str, request: pytest.FixtureRequest
) -> None:
    choices = ("positive", "very dark", "Ünïcode", "  padded", "42")
    path = request.getfixturevalue(which)
    with LlamaEngine(path, chat_template="", vocab_only=True) as engine:
        prompt = engine.encode((Message("user", (Segment(text, "text"),)),))
        lead = "" if text[-1:].isspace() else " "
        given_up, whole = engine._tokenize_choices(prompt.tail, choices, lead)
        found = engine.with_choices(prompt, choices)
        assert found.choices == whole
        assert found.token_ids == prompt.token_ids[: len(prompt.token_ids) - given_up]


def test_a_base_model_goes_on_with_a_space(base_model: Path) -> None:
    with LlamaEngine(base_model, vocab_only=True) as engine:
        prompt = engine.encode((Message("user", (Segment("Grass is"),)),))
        request = engine.with_choices(prompt, ("green",))
        assert request.token_ids == prompt.token_ids
        assert [engine.vocabulary.piece(i) for i in request.choices[0].token_ids] == [b" green"]
        ends_with_space = engine.encode((Message("user", (Segment("Grass is "),)),))
        healed = engine.with_choices(ends_with_space, ("green",))
        assert healed == request
