"""What is typed at a conversation: one text after the other, each of a line or of several.

A line that ends in a backslash goes on in the next. So does everything between two lines of three
quotes; and a text that is pasted into a terminal comes as one, where its readline knows how.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from localprompt.doors import MOST_TEXT_BYTES
from localprompt.errors import InputError
from localprompt.views.messages import print_note

QUOTES = '"""'
_PROMPT, _MORE = "> ", "… "
_MOST_REMEMBERED = 1000
_FILE = "chat_history"


class Lines(Protocol):
    """Texts until the input ends."""

    interactive: bool
    """Somebody types, and sees what is answered."""

    def __iter__(self) -> Iterator[str]: ...


def lines_of(*, remember: bool) -> Lines:
    """What stdin is: a person at a terminal, or a pipe.

    Args:
        remember: lines can be called back in later conversations, too.
    """
    if sys.stdin is None:
        raise InputError("there is no stdin", expected="a terminal, or lines from a pipe")
    if sys.stdin.isatty() and sys.stdout.isatty():
        return Typed(remember=remember)
    return Piped()


class Piped:
    """Lines from a pipe or a file."""

    interactive = False

    def __iter__(self) -> Iterator[str]:
        """
        Raises:
            InputError: they are not UTF-8 text, or one is too long.
        """
        return _joined(self._read)

    def _read(self, prompt: str) -> str | None:
        data = sys.stdin.buffer.readline(MOST_TEXT_BYTES + 1)
        if len(data) > MOST_TEXT_BYTES:
            raise InputError(
                "a line on stdin is too long",
                expected=f"at most {MOST_TEXT_BYTES:,} bytes",
                found="more",
            )
        if not data:
            return None
        try:
            return data.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(
                "stdin is not text", where=f"byte {error.start} of a line", expected="UTF-8"
            ) from error


class Typed:
    """Lines from a terminal, edited and called back as its readline does it; without one, plain."""

    interactive = True

    def __init__(self, *, remember: bool) -> None:
        self._remember = remember

    def __iter__(self) -> Iterator[str]:
        with suppress(ImportError):
            self._begin()
        try:
            yield from _joined(self._read)
        finally:
            with suppress(ImportError, OSError):
                self._end()

    def _read(self, prompt: str) -> str | None:
        while True:
            try:
                return input(prompt)
            except EOFError:
                print_note("")  # the shell's prompt begins a line
                return None
            except KeyboardInterrupt:
                print_note("\n(Ctrl-D ends the conversation)")
                prompt = _PROMPT
            except UnicodeDecodeError:
                print_note("(that was not text in UTF-8)")

    def _begin(self) -> None:
        import readline

        from localprompt.cli.chat_commands import COMMANDS

        readline.set_completer_delims("")
        readline.set_completer(_Completer([f"/{name}" for name in COMMANDS]))
        readline.parse_and_bind("tab: complete")
        readline.set_history_length(_MOST_REMEMBERED)
        if self._remember:
            with suppress(OSError):
                readline.read_history_file(_history_path())

    def _end(self) -> None:
        import readline

        readline.set_completer(None)
        if self._remember:
            path = _history_path()
            from localprompt import paths

            paths.make_folder(path.parent)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            path.chmod(0o600)
            readline.write_history_file(path)


class _Completer:
    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    def __call__(self, text: str, state: int) -> str | None:
        fitting = [word for word in self._words if text and word.startswith(text)]
        return fitting[state] if state < len(fitting) else None


def _history_path() -> Path:
    from localprompt import paths

    return paths.home() / _FILE


class _Read(Protocol):
    def __call__(self, prompt: str) -> str | None: ...


def _joined(read: _Read) -> Iterator[str]:
    """Lines put together where they go on."""
    while (line := read(_PROMPT)) is not None:
        if line.strip() == QUOTES:
            yield "\n".join(_until_quotes(read))
            continue
        parts = [line]
        while parts[-1].endswith("\\"):
            parts[-1] = parts[-1][:-1]
            more = read(_MORE)
            if more is None:
                break
            parts.append(more)
        yield "\n".join(parts)


def _until_quotes(read: _Read) -> Iterator[str]:
    while (line := read(_MORE)) is not None and line.strip() != QUOTES:
        yield line
