"""Text is shown when it is certain, and never a stop string."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from localprompt.engine.text import TextStream


def _say(pieces: list[bytes], stop: tuple[str, ...] = ()) -> list[str]:
    stream = TextStream(stop)
    return [*(stream.feed(piece) for piece in pieces), stream.finish()]


def test_a_character_split_over_tokens_is_held_back_until_it_is_whole() -> None:
    euro = "€".encode()
    assert _say([euro[:1], euro[1:2], euro[2:]]) == ["", "", "€", ""]


def test_a_character_that_never_becomes_whole_is_replaced() -> None:
    assert "".join(_say([b"a", "€".encode()[:2]])) == "a\N{REPLACEMENT CHARACTER}"


def test_a_stop_string_may_span_tokens() -> None:
    assert _say([b"one\n", b"\nQ", b": two"], stop=("\n\nQ:",)) == ["one", "", "", ""]


def test_what_only_looked_like_a_stop_string_is_shown() -> None:
    assert "".join(_say([b"a\n", b"\nb"], stop=("\n\nQ:",))) == "a\n\nb"


def test_the_earliest_of_several_stop_strings_ends_the_text() -> None:
    assert "".join(_say([b"x END y STOP"], stop=("STOP", "END"))) == "x "


def test_nothing_is_accepted_after_a_stop() -> None:
    stream = TextStream(("#",))
    assert stream.feed(b"a#b") == "a"
    assert stream.stopped
    assert stream.feed(b"c") == ""
    assert stream.finish() == ""


def test_an_empty_stop_string_stops_nothing() -> None:
    assert "".join(_say([b"abc"], stop=("",))) == "abc"


@given(
    text=st.text(alphabet="ab€😀\n", max_size=40),
    stop=st.lists(st.text(alphabet="ab€\n", min_size=1, max_size=4), max_size=3),
    data=st.data(),
)
def test_however_the_bytes_are_cut_the_same_text_is_shown(
    text: str, stop: list[str], data: st.DataObject
) -> None:
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    edges = [0, *cuts, len(raw)]
    pieces = [raw[a:b] for a, b in itertools.pairwise(edges)]
    stream = TextStream(tuple(stop))
    shown = "".join(stream.feed(piece) for piece in pieces) + stream.finish()
    assert not any(word in shown for word in stop)
    assert text.startswith(shown)
    if not any(word in text for word in stop):
        assert shown == text
