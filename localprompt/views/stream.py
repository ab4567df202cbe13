"""An answer on stdout, shown as it comes."""

from __future__ import annotations

from typing import TextIO


class AnswerStream:
    """Writes pieces of text at once and ends with exactly one line end.

    Control characters that a terminal would obey (a model can say anything) are shown as
    pictures on a terminal; a file or pipe gets the text as it is.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown = _Pictures() if out.isatty() else None
        self._ends_line = True
        self.closed = False
        """The reader went away."""

    def write(self, text: str) -> None:
        """Show a piece.

        Raises:
            BrokenPipeError: the reader went away.
        """
        try:
            self._out.write(text.translate(self._shown) if self._shown else text)
            self._out.flush()
        except BrokenPipeError:
            self.closed = True
            raise
        self._ends_line = text.endswith("\n")

    def finish(self) -> None:
        if not self._ends_line and not self.closed:
            self.write("\n")


class _Pictures(dict[int, str | int]):
    """For str.translate: control characters, but for tab and line end, as Unicode pictures."""

    def __missing__(self, code: int) -> str | int:
        harmless = code in {0x09, 0x0A} or (code >= 0x20 and not 0x7F <= code <= 0x9F)
        return (
            code if harmless else chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}"
        )
