"""An answer on stdout, as it comes."""

from __future__ import annotations

import csv
import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.views.harmless import harmless
from localprompt.views.stream import AnswerStream, data_out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _shown(out: io.StringIO, *pieces: str) -> str:
    stream = AnswerStream(out)
    for piece in pieces:
        stream.write(piece)
    stream.finish()
    return out.getvalue()


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (("one", " two"), "one two\n"),
        (("one\n",), "one\n"),
        (("one\n", "\n"), "one\n\n"),
        (("",), "\n"),
        ((), ""),
    ],
)
def test_an_answer_ends_with_one_line_end(pieces: tuple[str, ...], text: str) -> None:
    assert _shown(io.StringIO(), *pieces) == text


def test_a_terminal_obeys_no_control_character_and_a_file_gets_them_all() -> None:
    hostile = "a\x1b[31mred\x07\r\x00\x7f\x9b2J\ttab\nline"
    assert _shown(Terminal(), hostile) == "a␛[31mred␇␍␀\ufffd\ufffd2J\ttab\nline\n"
    assert _shown(io.StringIO(newline=""), hostile) == hostile + "\n"


@given(st.text())
def test_harmless_text_has_no_control_characters_and_keeps_its_length(text: str) -> None:
    shown = harmless(text)
    assert len(shown) == len(text)
    assert not any((ord(c) < 0x20 and c not in "\t\n") or 0x7F <= ord(c) <= 0x9F for c in shown)
    assert [c for c in text if c.isalnum()] == [c for c in shown if c.isalnum()]


def test_a_reader_that_went_away_is_told_once() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    out = os.fdopen(writer, "w")
    stream = AnswerStream(out)
    with pytest.raises(BrokenPipeError):
        stream.write("text")
    assert isinstance(stream.failure, BrokenPipeError)
    stream.finish()
    with pytest.raises(BrokenPipeError):
        out.close()


def test_a_disk_that_is_full_stops_the_answer_with_its_reason() -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    stream = AnswerStream(Full())
    with pytest.raises(BrokenPipeError):
        stream.write("text")
    stream.finish()
    assert stream.failure is not None
    assert stream.failure.errno == 28


def test_ctrl_c_between_two_pieces_still_ends_the_line() -> None:
    class Pressed(io.StringIO):
        def flush(self) -> None:
            raise KeyboardInterrupt

    out = Pressed()
    stream = AnswerStream(out)
    with pytest.raises(KeyboardInterrupt):
        stream.write("half")
    with pytest.raises(KeyboardInterrupt):
        stream.finish()
    assert out.getvalue() == "half\n"


def test_rows_on_a_terminal_are_shown_and_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    csv.writer(data_out()).writerows([["red\x1b[2J", "\u202eab"], ["blue", ""]])
    assert out.getvalue() == "red␛[2J,\ufffdab\nblue,\n"


def test_rows_in_a_pipe_are_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    csv.writer(data_out()).writerow(["red\x1b[2J"])
    assert out.getvalue() == "red\x1b[2J\r\n"
