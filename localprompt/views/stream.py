"""An answer on stdout, shown as it comes."""

from __future__ import annotations

from contextlib import suppress
from typing import TextIO

from localprompt.views.harmless import harmless


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
