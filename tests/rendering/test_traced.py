"""TracedText is the plain string, and knows where its characters came from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localprompt.records.prompt import Span
from localprompt.rendering.traced import TracedText, spans_of, trace_values, traced

_PIECES = st.lists(
    st.builds(
        Span,
        st.text(alphabet="ab ,\n\tÀßΣ<|", max_size=6),
        st.sampled_from(["chat_template", "template", "variable"]),
        st.sampled_from([None, "q", "name"]),
    ),
    max_size=6,
)

_OPERATIONS: dict[str, Callable[[str], object]] = {
    "strip": lambda text: text.strip(),
    "lstrip of characters": lambda text: text.lstrip("a "),
    "rstrip": lambda text: text.rstrip(),
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "split": lambda text: text.split(),
    "split twice": lambda text: text.split(None, 2),
    "split at a comma": lambda text: text.split(","),
    "rsplit": lambda text: text.rsplit(None, 1),
    "rsplit at a comma": lambda text: text.rsplit(",", 1),
    "splitlines": lambda text: text.splitlines(),
    "splitlines with ends": lambda text: text.splitlines(keepends=True),
    "partition": lambda text: text.partition("a"),
    "rpartition": lambda text: text.rpartition("a"),
    "replace": lambda text: text.replace("a", "<>"),
    "replace nothing": lambda text: text.replace("", "-"),
    "replace once": lambda text: text.replace(" ", "", 1),
    "removeprefix": lambda text: text.removeprefix("a"),
    "removesuffix": lambda text: text.removesuffix("\n"),
    "add": lambda text: text + "x",
    "add to": lambda text: "x" + text,
    "slice": lambda text: text[1:-1],
    "slice backwards": lambda text: text[::-1],
    "join": lambda text: text.join(["1", "2", "3"]),
}


@pytest.mark.parametrize("name", _OPERATIONS)
@settings(max_examples=40)
@given(_PIECES)
def test_every_operation_gives_what_the_plain_string_gives(name: str, pieces: list[Span]) -> None:
    text = TracedText(pieces)
    assert _OPERATIONS[name](text) == _OPERATIONS[name](str.__str__(text))


@pytest.mark.parametrize("name", _OPERATIONS)
@settings(max_examples=40)
@given(_PIECES)
def test_no_operation_moves_a_character_from_a_value_to_a_template(
    name: str, pieces: list[Span]
) -> None:
    """Values are written in digits here, templates without; digits must stay a value's."""
    marked = [
        Span("7" * len(span.text), "variable", "v") if span.origin == "variable" else span
        for span in pieces
    ]
    result = _OPERATIONS[name](TracedText(marked))
    for part in [result] if isinstance(result, str) else list(result):  # type: ignore[call-overload]
        for span in spans_of(part):
            assert "7" not in span.text or span.origin == "variable"


@given(_PIECES)
def test_spans_joined_are_the_text(pieces: list[Span]) -> None:
    text = TracedText(pieces)
    assert "".join(span.text for span in spans_of(text)) == text == "".join(p.text for p in pieces)


def test_a_trimmed_text_keeps_its_origins() -> None:
    text = traced("  user: ", "template") + traced(" Ada  ", "variable", "name")
    assert spans_of(text.strip()) == (
        Span("user: ", "template"),
        Span(" Ada", "variable", "name"),
    )


def test_a_part_of_a_split_keeps_its_origin() -> None:
    text = traced("think</think>", "variable", "answer") + traced(" done", "template")
    assert spans_of(text.split("</think>")[-1]) == (Span(" done", "template"),)


def test_ordinary_text_counts_as_a_value_of_unknown_name() -> None:
    assert spans_of("<|im_end|>") == (Span("<|im_end|>", "variable"),)


def test_the_index_beyond_the_end_is_an_error_as_for_any_string() -> None:
    with pytest.raises(IndexError):
        traced("ab", "template")[2]
    assert traced("ab", "template")[-1] == "b"


def test_strings_inside_of_data_are_traced_and_other_values_stay() -> None:
    value = trace_values({"a": ["x", 1, ("y", None)]}, "variable", "data")
    assert value == {"a": ["x", 1, ("y", None)]}
    assert spans_of(value["a"][0]) == (Span("x", "variable", "data"),)
    assert spans_of(value["a"][2][0]) == (Span("y", "variable", "data"),)
