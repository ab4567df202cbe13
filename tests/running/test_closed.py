"""Runs of prompts that say how their closed answers are weighed."""

from __future__ import annotations

import msgspec

from localprompt.records.cell import Cell
from localprompt.running.execute import execute, open_session, render
from tests.running.test_execute import cell, saying


def weighed(bias: dict[str, float], **changes: object) -> Cell:
    one = cell(choices=("good", "bad enough"))
    template = msgspec.structs.replace(one.template, bias=bias, **changes)
    return msgspec.structs.replace(one, template=template)


def test_a_bias_decides_and_nothing_is_generated() -> None:
    never = saying(RuntimeError("generated"), log_probability=lambda before, word: -1.0)
    shown: list[str] = []
    plain = execute(weighed({"good": 0.5}), never, shown.append).record
    other = execute(weighed({"good": -2.0}), never).record
    assert (plain.output.text, other.output.text) == ("good", "bad enough")
    assert shown == ["good"]
    assert plain.tokens.completion == 0
    assert plain.output.finish_reason == "stop"
    assert plain.timing.ttft_seconds is not None
    assert plain.timing.decode_tokens_per_second is None
    assert plain.sampling.grammar_sha256 is None


def test_log_probabilities_per_byte_do_not_punish_long_choices() -> None:
    engine = saying(log_probability=lambda before, word: -1.0)
    assert execute(weighed({}, per_byte=True), engine).record.output.text == "bad enough"


def test_a_session_goes_from_weighing_to_generating_and_back() -> None:
    free = cell()
    closed = weighed({"good": 0.5})
    with open_session(free, render(free), saying(b"hello", log_probability=lambda *_: -1.0)) as one:
        texts = [one.run(c, render(c)).record.output.text for c in (free, closed, free, closed)]
    assert texts == ["hello", "good", "hello", "good"]


def test_label_words_are_scored_and_the_choice_is_the_answer() -> None:
    heard: list[str] = []

    def likes(before: str, word: str) -> float:
        heard.append(word)
        return -1.0 if word == "awful" else -2.0

    template = {"label_words": {"good": "great", "bad enough": "awful"}}
    record = execute(weighed({}, **template), saying(log_probability=likes)).record
    assert record.output.text == "bad enough"
    assert set(heard) == {"great", "awful"}
