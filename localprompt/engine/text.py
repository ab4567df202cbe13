"""From token bytes to text that may be shown.

A token is a run of bytes, not of characters, and a stop string is a run of characters that can
begin in one token and end in another. Both mean that text has to be held back until it is
certain: :class:`TextStream` does that for one answer.
"""

from __future__ import annotations

import codecs


class TextStream:
    """Feed token bytes in, get certain text out.

    Invariant: the texts returned by :meth:`feed` and :meth:`finish`, joined, are the decoded
    bytes up to the first stop string, which itself is never shown.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self._stop = tuple(text for text in stop if text)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped = False
        """True once a stop string was found; nothing is accepted after that."""

    def feed(self, piece: bytes) -> str:
        """Accept a token's bytes; return the text that has become certain, perhaps empty."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(piece)
        return self._release()

    def finish(self) -> str:
        """No more tokens will come: return what was held back."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(b"", final=True)
        text = self._release() + self._held
        self._held = ""
        return text

    def _release(self) -> str:
        found = [at for at in map(self._held.find, self._stop) if at >= 0]
        if found:
            self.stopped = True
            text, self._held = self._held[: min(found)], ""
            return text
        keep = max((_overlap(self._held, stop) for stop in self._stop), default=0)
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return text


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that is a beginning of ``stop``."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
