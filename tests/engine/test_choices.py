"""Closed answers: the same figures alone and among others, and honest tokenization."""

from __future__ import annotations

import math
import re
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localprompt.engine import batching
from localprompt.engine.base import Choice, ChoiceRequest, Scored
from localprompt.engine.choices import choice_tokens, deciding_end
from localprompt.engine.scripted import ScriptedEngine
from localprompt.errors import InputError
from localprompt.records.prompt import Message, Segment
from localprompt.records.run import RequestedSettings

WORDS = st.sampled_from(["a ", "b ", "c "])
PARTS = st.sampled_from(["rule " * 40, "fact " * 30, "a ", "b "])
TEXTS = st.lists(st.lists(PARTS, min_size=1, max_size=5).map("".join), min_size=1, max_size=8)
LABELS = st.lists(
    st.lists(WORDS, min_size=1, max_size=3).map("".join), min_size=1, max_size=5, unique=True
)


def _surprise(before: str, word: str) -> float:
    return -math.log2(2 + sum(map(ord, before + word)) % 97)


def _engine(*, n_ctx: int = 500, n_batch: int = 16, parallel: int = 4) -> ScriptedEngine:
    engine = ScriptedEngine(lambda _: [], log_probability=_surprise)
    engine.prepare(RequestedSettings(n_batch=n_batch), n_ctx=n_ctx, parallel=parallel)
    return engine


def _requests(engine: ScriptedEngine, texts: list[str], labels: list[str]) -> list[ChoiceRequest]:
    prompts = [engine.encode([Message("user", (Segment(text),))]) for text in texts]
    return [engine.with_choices(prompt, labels) for prompt in prompts]


def _by_request(scored: list[Scored]) -> dict[int, list[float]]:
    return {one.request: [s.log_probability for s in one.scores] for one in scored}


@settings(max_examples=60)
@given(TEXTS, LABELS, st.integers(2, 5), st.integers(3, 20), st.integers(1, 9))
def test_any_set_of_prompts_gets_the_scores_that_each_gets_alone(
    texts: list[str], labels: list[str], parallel: int, n_batch: int, read_ahead: int
) -> None:
    together, alone = _engine(parallel=parallel, n_batch=n_batch), _engine(parallel=1)
    with patch.object(batching, "READ_AHEAD", read_ahead):
        scored = _by_request(list(together.score_choices(_requests(together, texts, labels))))
    expected = {
        at: _by_request(list(alone.score_choices(_requests(alone, [text], labels))))[0]
        for at, text in enumerate(texts)
    }
    assert scored == expected
    assert together.cells_used == 0


def test_labels_of_one_token_are_scored_from_the_prompts_alone() -> None:
    engine = _engine()
    requests = _requests(engine, ["x y ", "x z "], ["yes", "no"])
    list(engine.score_choices(requests))
    assert sum(map(len, engine.decoded)) == sum(len(r.token_ids) for r in requests)
    assert len(engine.decoded) == 1
    assert sum(slot.wants_logits for slot in engine.decoded[0]) == 2


def test_scores_say_how_long_a_choice_is() -> None:
    engine = _engine()
    (scored,) = engine.score_choices(_requests(engine, ["x "], ["très bon", "no"]))
    assert [(s.text, s.n_tokens, s.n_bytes) for s in scored.scores] == [
        ("très bon", 2, 9),
        ("no", 1, 2),
    ]


def test_more_branches_than_sequences_take_several_passes_and_one_answer() -> None:
    labels = ["a x", "b x", "c x", "d x", "e x"]
    narrow, wide = _engine(parallel=2), _engine(parallel=8)
    of_narrow = list(narrow.score_choices(_requests(narrow, ["p q "], labels)))
    of_wide = list(wide.score_choices(_requests(wide, ["p q "], labels)))
    assert _by_request(of_narrow) == _by_request(of_wide)
    assert len(of_narrow) == 1
    assert [score.text for score in of_narrow[0].scores] == labels


def _merging(text: str) -> list[int]:
    """Tokens are runs of white space with the letters after them, as ": yes"."""
    return [sum(map(ord, piece)) for piece in re.findall(r"\s*\w+|\s+|[^\s\w]", text)]


def test_a_token_that_would_reach_over_the_border_is_given_up_by_the_prompt() -> None:
    given_up, (yes, no) = choice_tokens(
        "Answer: ", ["yes", "no"], lead="", tokenize=_merging, end_id=0
    )
    assert given_up == 1
    assert (*yes.token_ids, *no.token_ids) == (*_merging(" yes"), *_merging(" no"))


def test_a_choice_within_another_is_scored_with_its_end() -> None:
    def letters(text: str) -> list[int]:
        return [ord(letter) for letter in text]

    given_up, choices = choice_tokens("?", ["no", "not"], lead="", tokenize=letters, end_id=0)
    assert given_up == 0
    assert choices == (Choice("no", (*b"no", 0)), Choice("not", tuple(b"not")))


def test_a_space_stands_between_plain_text_and_a_choice() -> None:
    _, (spaced, kept) = choice_tokens(
        "Label:", ["yes", "\nno"], lead=" ", tokenize=_merging, end_id=0
    )
    assert spaced == Choice("yes", tuple(_merging(" yes")))
    assert kept.token_ids == tuple(_merging("\nno"))


@pytest.mark.parametrize("choices", [["yes", ""], ["yes", "no", "yes"]])
def test_choices_that_cannot_be_told_apart_are_refused(choices: list[str]) -> None:
    with pytest.raises(InputError, match=r"empty|twice"):
        choice_tokens("x", choices, lead="", tokenize=_merging, end_id=0)


def _letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def test_only_the_last_words_of_a_prompt_are_tokenized_again() -> None:
    text = "word " * 200 + "the end"
    end = deciding_end(text, _letters(text), _letters)
    assert text.endswith(end)
    assert end.startswith(" word")
    assert 100 <= len(end) <= 110


@pytest.mark.parametrize(
    "text", ["", "short", "no-white-space" * 40, "two  spaces" + "x" * 120, "line\n \n" + "x" * 120]
)
def test_a_prompt_without_a_word_to_cut_before_is_tokenized_whole(text: str) -> None:
    assert deciding_end(text, _letters(text), _letters) == text


def test_an_end_with_other_tokens_than_in_its_prompt_is_not_taken() -> None:
    def begun(text: str) -> list[int]:
        return [0, *_letters(text)]  # as a tokenizer that puts a space before every text

    text = "word " * 200
    assert deciding_end(text, begun(text), begun) == text
