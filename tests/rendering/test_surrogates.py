"""Half a surrogate pair is not text; wherever it comes from, the model receives U+FFFD."""

from __future__ import annotations

from localprompt.records.prompt import Message, Segment
from localprompt.rendering.chat import apply_chat_template
from localprompt.rendering.traced import to_segments, traced


def test_a_value_with_half_a_pair_becomes_text() -> None:
    segments = to_segments(traced("a\udcffb\ud800", "variable", "x"))
    assert [segment.text for segment in segments] == ["a\ufffdb\ufffd"]


def test_a_chat_template_cannot_make_one_either() -> None:
    prompt = apply_chat_template(
        "{{ messages[0].content }}{{ '%c' % 55296 }}",
        [Message("user", (Segment("hi"),))],
        bos_token="",
        eos_token="",
    )
    assert prompt.text == "hi\ufffd"
    prompt.text.encode()
