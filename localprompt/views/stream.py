"""Text on its way to stdout: an answer as it comes, and data where no file was named."""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from typing import TextIO, cast

from localprompt.views.harmless import harmless


def data_out() -> TextIO:
    """Stdout for csv, JSON and Markdown: a file or pipe gets the text as it is, a terminal as
    :func:`harmless` has it, since rows hold what strangers wrote."""
    return cast("TextIO", _Harmless(sys.stdout)) if sys.stdout.isatty() else sys.stdout


class _Harmless(io.TextIOBase):
    """A terminal that is sent nothing that it would obey."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        self._out.write(harmless(text.replace("\r\n", "\n")))
        return len(text)

    def flush(self) -> None:
        self._out.flush()


class AnswerStream:
    """Writes pieces of text at once and ends with exactly one line end.

    A terminal gets the text as :func:`harmless` has it; a file or pipe gets it as it is.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._on_terminal = out.isatty()
        self._ends_line = True
        self.failure: OSError | None = None
        """Why nothing more can be written: a BrokenPipeError where the reader went away."""

    def write(self, text: str) -> None:
        """Show a piece.

        Raises:
            BrokenPipeError: nobody will read it; ``failure`` says why.
        """
        self._ends_line = text.endswith("\n")  # first: Ctrl-C may come before the last line here
        try:
            self._out.write(harmless(text) if self._on_terminal else text)
            self._out.flush()
        except OSError as error:
            self.failure = error
            raise BrokenPipeError from error

    def finish(self) -> None:
        """End the line; what cannot be written any more is left to ``failure``."""
        if not self._ends_line and self.failure is None:
            with suppress(BrokenPipeError):
                self.write("\n")
