"""One request or many: the same path, the same answers."""

import pytest

from localprompt.engine.base import Event, Finished, GenerationRequest, Prefilled, Token
from localprompt.engine.scripted import ScriptedEngine
from localprompt.records import Message, RequestedSettings, Sampling, Segment


def _engine(
    answers: dict[str, list[bytes | BaseException]],
    *,
    n_ctx: int = 64,
    n_batch: int = 8,
    parallel: int = 1,
) -> ScriptedEngine:
    engine = ScriptedEngine(answers.__getitem__)
    engine.prepare(RequestedSettings(n_batch=n_batch), n_ctx=n_ctx, parallel=parallel)
    return engine


def _request(
    engine: ScriptedEngine, text: str, max_tokens: int = 8, stop: tuple[str, ...] = ()
) -> GenerationRequest:
    prompt = engine.encode([Message("user", (Segment(text),))])
    return GenerationRequest(prompt.token_ids, Sampling(max_tokens=max_tokens, stop=stop))


def _answers(events: list[Event]) -> dict[int, str]:
    texts: dict[int, str] = {}
    for event in events:
        if isinstance(event, Token | Finished):
            texts[event.request] = texts.get(event.request, "") + event.text
    return texts


def test_one_request_is_prefilled_decoded_and_finished() -> None:
    engine = _engine({"say it": [b"a ", b"b"]})
    events = list(engine.generate([_request(engine, "say it")]))
    assert [type(event) for event in events] == [Prefilled, Token, Token, Finished]
    assert _answers(events) == {0: "a b"}
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "stop"


def test_a_prompt_longer_than_a_batch_goes_through_in_chunks() -> None:
    text = "one two three four five"
    engine = _engine({text: [b"x"]}, n_batch=2)
    list(engine.generate([_request(engine, text)]))
    prompt_batches = engine.decoded[:3]
    assert [len(batch) for batch in prompt_batches] == [2, 2, 1]
    assert [slot.position for batch in prompt_batches for slot in batch] == [0, 1, 2, 3, 4]
    assert [slot.wants_logits for batch in prompt_batches for slot in batch] == [False] * 4 + [True]


def test_many_requests_answer_as_they_would_alone() -> None:
    answers: dict[str, list[bytes | BaseException]] = {
        f"prompt {n}": [f"{n}-{k} ".encode() for k in range(n + 1)] for n in range(5)
    }
    engine = _engine(answers, parallel=3)
    events = list(engine.generate([_request(engine, text) for text in answers]))
    expected = [b"".join(p for p in a if isinstance(p, bytes)).decode() for a in answers.values()]
    assert _answers(events) == dict(enumerate(expected))


def test_no_more_requests_are_admitted_than_the_cache_can_hold() -> None:
    answers: dict[str, list[bytes | BaseException]] = {"a b": [b"x"] * 4, "c d": [b"y"] * 4}
    engine = _engine(answers, n_ctx=10, parallel=2)
    events = list(engine.generate([_request(engine, t, max_tokens=6) for t in answers]))
    order = [event.request for event in events if isinstance(event, Finished)]
    assert order == [0, 1]
    assert all(len({slot.sequence for slot in batch}) == 1 for batch in engine.decoded)


def test_decoding_requests_do_not_wait_behind_a_long_prompt() -> None:
    long = " ".join(["word"] * 40)
    engine = _engine({"hi": [b"x"] * 5, long: [b"y"]}, parallel=2, n_batch=8)
    events = list(engine.generate([_request(engine, "hi"), _request(engine, long)]))
    first_long = next(i for i, e in enumerate(events) if e.request == 1)
    assert sum(isinstance(e, Token) and e.request == 0 for e in events[:first_long]) >= 4


@pytest.mark.parametrize(("max_tokens", "reason"), [(2, "length"), (4, "stop")])
def test_the_reason_says_whether_the_answer_was_cut(max_tokens: int, reason: str) -> None:
    engine = _engine({"q": [b"a", b"b", b"c"]})
    events = list(engine.generate([_request(engine, "q", max_tokens=max_tokens)]))
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == reason


def test_an_answer_ends_where_the_cache_is_full() -> None:
    engine = _engine({"a b": [b"x"] * 50}, n_ctx=6)
    events = list(engine.generate([_request(engine, "a b", max_tokens=50)]))
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "length"
    assert max(slot.position for batch in engine.decoded for slot in batch) == 5


def test_text_held_back_for_a_stop_string_is_delivered_at_the_end() -> None:
    engine = _engine({"q": [b"so", b"\n"]})
    events = list(engine.generate([_request(engine, "q", stop=("\nQ",))]))
    assert isinstance(events[-1], Finished)
    assert events[-1].text == "\n"


def test_a_stop_string_ends_the_answer_before_the_model_does() -> None:
    engine = _engine({"q": [b"one", b" STOP", b" more"]})
    events = list(engine.generate([_request(engine, "q", stop=("STOP",))]))
    assert _answers(events) == {0: "one "}
    assert sum(isinstance(event, Token) for event in events) == 2


def test_closing_the_iterator_frees_the_sequences() -> None:
    engine = _engine({"q": [b"a"] * 8})
    events = engine.generate([_request(engine, "q")])
    next(events)
    events.close()  # type: ignore[attr-defined]
    again = list(engine.generate([_request(engine, "q")]))
    assert _answers(again) == {0: "a" * 8}


def test_an_error_half_way_is_raised_after_what_was_said() -> None:
    engine = _engine({"q": [b"a", RuntimeError("boom")]})
    seen: list[Event] = []
    with pytest.raises(RuntimeError, match="boom"):
        seen.extend(engine.generate([_request(engine, "q")]))
    assert _answers(seen) in ({}, {0: "a"})
