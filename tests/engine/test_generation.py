"""Answers in steps of several tokens: what is forced, and what is guessed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from localprompt.engine.base import Finished, GenerationRequest, Shortcuts, Token
from localprompt.engine.device import Chosen
from localprompt.engine.scripted import ScriptedEngine
from localprompt.records.prompt import Message, Segment
from localprompt.records.run import RequestedSettings, Sampling

COPIED = "the quick brown fox jumps over the lazy dog and runs away from it "


def words(text: str) -> list[bytes]:
    return [f"{word} ".encode() for word in text.split()]


def answer(
    engine: ScriptedEngine, prompt: str, *, most: int = 100, n_ctx: int = 256, n_batch: int = 64
) -> tuple[str, Finished, list[Token]]:
    encoded = engine.encode([Message("user", (Segment(prompt),))])
    engine.prepare(RequestedSettings(n_batch=n_batch), n_ctx=n_ctx)
    request = GenerationRequest(encoded.token_ids, Sampling(max_tokens=most))
    events = list(engine.generate([request]))
    tokens = [event for event in events if isinstance(event, Token)]
    last = events[-1]
    assert isinstance(last, Finished)
    return "".join(token.text for token in tokens) + last.text, last, tokens


def test_a_copied_text_takes_fewer_steps_and_is_the_same() -> None:
    engine = ScriptedEngine(lambda _: words(COPIED))
    text, last, tokens = answer(engine, COPIED)
    assert text == COPIED
    assert len(engine.decoded) - 1 < len(tokens) // 2
    assert last.shortcuts.accepted > len(tokens) // 2
    assert last.shortcuts.accepted <= last.shortcuts.drafted


def test_wrong_guesses_are_taken_out_of_the_cache_again() -> None:
    said = COPIED.replace("over", "under").replace("away", "back")
    engine = ScriptedEngine(lambda _: words(said))
    text, last, _ = answer(engine, COPIED)
    assert text == said, "the double refuses an answer whose cells hold anything else"
    assert last.shortcuts.drafted > last.shortcuts.accepted > 0


@pytest.mark.parametrize("most", range(1, 15))
def test_guessing_never_says_more_than_max_tokens(most: int) -> None:
    text, last, tokens = answer(ScriptedEngine(lambda _: words(COPIED)), COPIED, most=most)
    assert len(tokens) == min(most, 14)
    assert text == " ".join(COPIED.split()[:most]) + " "
    assert last.reason == ("stop" if most > 14 else "length")


def test_guessing_stays_inside_the_context() -> None:
    prompt_tokens = len(COPIED.split())
    engine = ScriptedEngine(lambda _: words(COPIED))
    _, last, tokens = answer(engine, COPIED, n_ctx=prompt_tokens + 6)
    assert last.reason == "length"
    assert len(tokens) == 7


def test_a_device_that_cannot_go_back_gets_no_guesses() -> None:
    engine = ScriptedEngine(lambda _: words(COPIED))
    engine.can_rewind = False
    text, last, tokens = answer(engine, COPIED)
    assert text == COPIED
    assert last.shortcuts == Shortcuts()
    assert len(engine.decoded) == len(tokens) + 1


class Forcing(ScriptedEngine):
    """Forces what stands between two bars of the script."""

    def sampler(self, request: GenerationRequest) -> _Forcing:  # type: ignore[override]
        return _Forcing(super().sampler(request))


class _Forcing:
    finished = False

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def choose(self, batch_index: int) -> Chosen:
        inner = self._inner
        ids = list(inner.choose(batch_index).token_ids)  # type: ignore[attr-defined]
        if inner._engine.piece(ids[0]) != b"( ":  # type: ignore[attr-defined]
            return Chosen(tuple(ids))
        while True:
            piece = next(inner._pieces)  # type: ignore[attr-defined]
            ids.append(inner._engine.say(piece))  # type: ignore[attr-defined]
            inner._expected = (*inner._expected, ids[-1])  # type: ignore[attr-defined]
            if piece == b") ":
                return Chosen(tuple(ids), len(ids) - 1)

    def fitting(self, token_ids: Sequence[int]) -> int:
        return len(token_ids)

    def close(self) -> None:
        pass


def test_what_is_forced_goes_into_the_next_batch() -> None:
    said = "well ( a b c d e f ) and ( g h ) so "
    engine = Forcing(lambda _: words(said))
    text, last, tokens = answer(engine, "say it ")
    assert text == said
    assert last.shortcuts.forced == 7 + 3
    assert len(engine.decoded) == 1 + len(tokens) - 10


def test_more_forced_tokens_than_a_batch_takes_go_through_in_several() -> None:
    said = f"( {' '.join(f'w{n}' for n in range(40))} ) end "
    engine = Forcing(lambda _: words(said))
    text, last, _ = answer(engine, "say it ", n_batch=8)
    assert text == said
    assert last.shortcuts.forced == 41
    assert max(len(batch) for batch in engine.decoded) == 8


def test_max_tokens_cuts_what_is_forced() -> None:
    text, last, tokens = answer(Forcing(lambda _: words("( a b c d ) ")), "say it ", most=3)
    assert (text, last.reason, len(tokens)) == ("( a b ", "length", 3)
