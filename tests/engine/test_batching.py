"""One request or many: the same path, the same answers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localprompt.engine import batching
from localprompt.engine.base import Event, Finished, GenerationRequest, Prefilled, Token
from localprompt.engine.scripted import ScriptedEngine
from localprompt.records.prompt import Message, Segment
from localprompt.records.run import RequestedSettings, Sampling


def _engine(
    answers: dict[str, list[bytes | BaseException]],
    *,
    n_ctx: int = 64,
    n_batch: int = 8,
    parallel: int = 1,
    kv_unified: bool = True,
) -> ScriptedEngine:
    engine = ScriptedEngine(answers.__getitem__)
    settings = RequestedSettings(n_batch=n_batch)
    engine.prepare(settings, n_ctx=n_ctx, parallel=parallel, kv_unified=kv_unified)
    return engine


def _request(
    engine: ScriptedEngine, text: str, max_tokens: int = 8, stop: tuple[str, ...] = ()
) -> GenerationRequest:
    prompt = engine.encode([Message("user", (Segment(text),))])
    return GenerationRequest(prompt.token_ids, Sampling(max_tokens=max_tokens, stop=stop))


PIECES = st.lists(st.sampled_from([b"x ", b"y ", b"END", b"z"]), max_size=5)
# Long stretches are worth sharing, one within the other; single words are not.
PARTS = st.sampled_from(["rule " * 40, "fact " * 30, "a ", "b "])
PROMPTS = st.lists(st.lists(PARTS, min_size=1, max_size=5).map("".join), min_size=1, max_size=10)


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


@settings(max_examples=100)
@given(
    PROMPTS,
    st.data(),
    st.integers(2, 5),
    st.integers(5, 60),
    st.integers(204, 500),
    st.booleans(),
    st.integers(1, 11),
)
def test_any_set_of_prompts_gets_the_answers_that_each_gets_alone(
    prompts: list[str],
    data: st.DataObject,
    parallel: int,
    n_batch: int,
    n_ctx: int,
    kv_unified: bool,
    read_ahead: int,
) -> None:
    # The double raises where a request reads another's cells, a cache overflows, or a batch does.
    answers: dict[str, list[bytes | BaseException]] = {
        text: list(data.draw(PIECES)) for text in set(prompts)
    }
    together = _engine(
        answers, n_ctx=n_ctx, n_batch=n_batch, parallel=parallel, kv_unified=kv_unified
    )
    requests = [_request(together, text, max_tokens=4, stop=("END",)) for text in prompts]
    with patch.object(batching, "READ_AHEAD", read_ahead):
        events = list(together.generate(iter(requests)))
    alone = _engine(answers, n_ctx=500)
    for at, text in enumerate(prompts):
        only = list(alone.generate([_request(alone, text, max_tokens=4, stop=("END",))]))
        mine = [event for event in events if event.request == at]
        assert [type(event) for event in mine] == [type(event) for event in only]
        assert _answers(mine).get(at) == _answers(only).get(0)
    assert together.cells_used == 0


def test_what_all_prompts_begin_with_is_evaluated_once() -> None:
    system = " ".join(["rule"] * 80) + " "
    answers: dict[str, list[bytes | BaseException]] = {f"{system}q{n} ?": [b"x"] for n in range(9)}
    engine = _engine(answers, n_ctx=400, n_batch=64, parallel=3)
    events = list(engine.generate([_request(engine, text) for text in answers]))
    prompt_slots = [s for batch in engine.decoded for s in batch if s.position < 82]
    assert len(prompt_slots) == 80 + 9 * 2
    reused = [event.reused_tokens for event in events if isinstance(event, Prefilled)]
    assert reused == [80] * 9


@pytest.mark.parametrize("kv_unified", [True, False])
def test_what_is_read_ahead_in_portions_shares_across_them(
    monkeypatch: pytest.MonkeyPatch, kv_unified: bool
) -> None:
    monkeypatch.setattr(batching, "READ_AHEAD", 4)
    system = " ".join(["rule"] * 80) + " "
    answers: dict[str, list[bytes | BaseException]] = {f"{system}q{n} ?": [b"x"] for n in range(13)}
    engine = _engine(answers, n_ctx=400, n_batch=64, parallel=3, kv_unified=kv_unified)
    events = list(engine.generate([_request(engine, text) for text in answers]))
    prompt_slots = [s for batch in engine.decoded for s in batch if s.position < 82]
    assert len(prompt_slots) == 80 + 13 * 2
    reused = [event.reused_tokens for event in events if isinstance(event, Prefilled)]
    assert reused == [80] * 13
    assert engine.cells_used == 0


def test_requests_that_end_with_an_error_leave_no_cells_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "READ_AHEAD", 4)
    system = " ".join(["rule"] * 80) + " "
    answers: dict[str, list[bytes | BaseException]] = {f"{system}q{n} ?": [b"x"] for n in range(8)}
    engine = _engine(answers, n_ctx=400, n_batch=64, parallel=3)
    requests = [_request(engine, text) for text in answers]

    def broken() -> Iterator[GenerationRequest]:
        yield from requests[:4]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        list(engine.generate(broken()))
    assert engine.cells_used == 0
    finished = [e for e in engine.generate(requests) if isinstance(e, Finished)]
    assert len(finished) == 8


def test_reused_tokens_are_those_that_were_not_evaluated_for_the_request() -> None:
    system = " ".join(["rule"] * 80) + " "
    document = " ".join(["fact"] * 70) + " "
    texts = [f"{system}{d}{q} ?" for d in (document, "short ") for q in ("who", "why", "how")]
    answers: dict[str, list[bytes | BaseException]] = {text: [b"x"] for text in texts}
    engine = _engine(answers, n_ctx=400, n_batch=64, parallel=3)
    requests = [_request(engine, text) for text in texts]
    events = list(engine.generate(requests))
    reused = {e.request: e.reused_tokens for e in events if isinstance(e, Prefilled)}
    assert reused == {0: 150, 1: 150, 2: 150, 3: 80, 4: 80, 5: 80}
    own = sum(len(r.token_ids) - reused[n] for n, r in enumerate(requests))
    evaluated = sum(slot.position < 152 for batch in engine.decoded for slot in batch)
    generated = sum(isinstance(e, Token) and reused[e.request] == 80 for e in events)
    assert evaluated == 150 + own + generated


def test_an_endless_stream_of_requests_is_answered_as_it_comes() -> None:
    drawn = 0
    engine = ScriptedEngine(lambda _: [b"x"])
    engine.prepare(RequestedSettings(n_batch=16), n_ctx=64, parallel=4)

    def endless() -> Iterator[GenerationRequest]:
        nonlocal drawn
        for n in itertools.count():
            drawn += 1
            yield _request(engine, f"prompt {n}")

    events = engine.generate(endless())
    finished = (event for event in events if isinstance(event, Finished))
    assert len(list(itertools.islice(finished, 1500))) == 1500
    assert drawn <= 2048


def test_without_parallel_sequences_nothing_is_reordered_or_shared() -> None:
    system = " ".join(["rule"] * 80) + " "
    answers: dict[str, list[bytes | BaseException]] = {f"{system}{q}": [b"x"] for q in "cab"}
    engine = _engine(answers, n_ctx=400, n_batch=64)
    events = list(engine.generate([_request(engine, text) for text in answers]))
    assert [e.request for e in events if isinstance(e, Finished)] == [0, 1, 2]
    assert [e.reused_tokens for e in events if isinstance(e, Prefilled)] == [0, 0, 0]


def test_a_request_says_when_its_turn_came() -> None:
    engine = _engine({f"q{n}": [b"x"] * 3 for n in range(4)}, parallel=2)
    events = list(engine.generate([_request(engine, f"q{n}") for n in range(4)]))
    started = {e.request: e.started_seconds for e in events if isinstance(e, Prefilled)}
    ended = {e.request: e.seconds for e in events if isinstance(e, Finished)}
    for later in (2, 3):
        turn = started[later]
        assert turn is not None
        assert any(ended[earlier] <= turn <= ended[later] for earlier in (0, 1))


def test_prompts_and_answers_do_not_share_a_batch() -> None:
    answers: dict[str, list[bytes | BaseException]] = {
        "w " * (n + 1): [b"x"] * (n + 1) for n in range(8)
    }
    engine = _engine(answers, n_ctx=200, parallel=3)
    list(engine.generate([_request(engine, text) for text in answers]))
    said = engine.say(b"x")
    kinds = [{slot.token_id == said for slot in batch} for batch in engine.decoded]
    assert {True} in kinds
    assert all(len(kind) == 1 for kind in kinds)


def test_abandoned_requests_leave_no_cells_behind() -> None:
    system = " ".join(["rule"] * 80) + " "
    answers: dict[str, list[bytes | BaseException]] = {f"{system}{n}": [b"x"] * 5 for n in range(9)}
    engine = _engine(answers, n_ctx=400, n_batch=64, parallel=3)
    events = engine.generate([_request(engine, text) for text in answers])
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert engine.cells_used == 0


def test_where_cells_are_not_shared_each_prompt_is_a_batch_of_its_own() -> None:
    answers: dict[str, list[bytes | BaseException]] = {"w " * (n + 1): [b"x"] * 3 for n in range(4)}
    engine = _engine(answers, n_ctx=16, n_batch=64, parallel=4, kv_unified=False)
    events = list(engine.generate([_request(engine, text) for text in answers]))
    assert [len(batch) for batch in engine.decoded] == [1, 2, 3, 4, 4, 4, 4]
    assert _answers(events) == dict.fromkeys(range(4), "xxx")


def test_as_many_requests_as_sequences_run_at_once_where_cells_are_not_shared() -> None:
    answers: dict[str, list[bytes | BaseException]] = {"a b": [b"x"] * 4, "c d": [b"y"] * 4}
    engine = _engine(answers, n_ctx=10, parallel=2, kv_unified=False)
    list(engine.generate([_request(engine, t, max_tokens=6) for t in answers]))
    assert max(len({slot.sequence for slot in batch}) for batch in engine.decoded) == 2


def test_sequences_that_are_left_are_taken_by_the_last_answers_when_nobody_waits() -> None:
    lengths = (1, 2, 9, 3, 9, 9)
    answers: dict[str, list[bytes | BaseException]] = {
        f"q{n}": [f"{n}.{k} ".encode() for k in range(length)] for n, length in enumerate(lengths)
    }
    engine = _engine(answers, n_ctx=16, parallel=6, kv_unified=False)
    events = list(engine.generate([_request(engine, text, max_tokens=9) for text in answers]))
    said = {n: "".join(f"{n}.{k} " for k in range(length)) for n, length in enumerate(lengths)}
    assert _answers(events) == said
    steps = [[slot.sequence for slot in batch] for batch in engine.decoded[6:]]
    assert all(step == list(range(len(step))) for step in steps)
    assert [len(step) for step in steps] == [6, 5, 4, 3, 3, 3, 3, 3]
    assert engine.cells_used == 0


def test_a_sequence_that_is_left_goes_to_who_waits_and_nobody_is_moved() -> None:
    answers: dict[str, list[bytes | BaseException]] = {
        "q0": [b"x"] * 2,
        "q1": [b"x"] * 8,
        "q2": [b"x"] * 8,
    }
    engine = _engine(answers, n_ctx=16, parallel=2, kv_unified=False)
    list(engine.generate([_request(engine, text) for text in answers]))
    third = engine.encode([Message("user", (Segment("q2"),))]).token_ids[0]
    seated = next(s.sequence for batch in engine.decoded for s in batch if s.token_id == third)
    assert seated == 0
