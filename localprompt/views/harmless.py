"""The one function through which text from outside goes on its way to a terminal.

A model can say anything, and so can a model's name, a card's description, a path or a row of a
dataset. A terminal obeys some of what it is sent: escape sequences move the cursor, recolour the
screen, rename the window or fill the clipboard; bidirectional overrides show a text in another
order than it has. Here such characters become pictures of themselves. Nothing is taken away, and
every character stays one character, so a text can be made harmless before it is laid out.

:class:`localprompt.views.terminal.Terminal` sends all that it draws through it; so do messages and
streamed answers.
"""

from __future__ import annotations

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def harmless(text: str) -> str:
    """The text with control characters as pictures, but for tab and line end.

    C0 as ``␛``; DEL, C1, line separators, bidirectional embeddings, overrides and isolates, and
    lone surrogates (which no terminal could be sent) as U+FFFD.
    """
    return text.translate(_PICTURES)


class _Pictures(dict[int, str | int]):
    """For str.translate, which asks for every character once and then knows it."""

    def __missing__(self, code: int) -> str | int:
        self[code] = answer = _picture(code)
        return answer


def _picture(code: int) -> str | int:
    if code in {0x09, 0x0A}:
        return code
    if code < 0x20:
        return chr(0x2400 + code)
    commands = (
        0x7F <= code <= 0x9F
        or 0x2028 <= code <= 0x202E
        or 0x2066 <= code <= 0x2069
        or 0xD800 <= code <= 0xDFFF
    )
    return _REPLACEMENT if commands else code


_PICTURES = _Pictures()
