"""Finding the texts that a question is like: BM25, in plain Python.

Okapi BM25 with the usual k1 = 1.2 and b = 0.75 (Robertson and Zaragoza 2009, 3.3): the sum over
the question's words of their inverse document frequency, times how often the passage has them,
saturating, and normalized by its length. No stemming, no stop words, no learned vectors: what a
prompt can have without a second model.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_K1, _B = 1.2, 0.75
_WORD = re.compile(r"\w+")


class Index:
    """Passages that can be searched.

    Args:
        passages: at least one.
    """

    def __init__(self, passages: Sequence[str]) -> None:
        self._passages = tuple(passages)
        self._counts = [Counter(words(passage)) for passage in passages]
        self._lengths = [counts.total() for counts in self._counts]
        self._usual = sum(self._lengths) / len(passages)
        self._holding = Counter(word for counts in self._counts for word in counts)

    def best(self, question: str) -> str:
        """The passage that fits best; the first of equals."""
        return self._passages[self.ranked(question)[0]]

    def ranked(self, question: str) -> list[int]:
        """The passages' positions, best first; equals in their own order."""
        asked = words(question)
        scores = [self._score(asked, at) for at in range(len(self._passages))]
        return sorted(range(len(scores)), key=lambda at: -scores[at])

    def _score(self, asked: Sequence[str], at: int) -> float:
        counts, length = self._counts[at], self._lengths[at]
        norm = _K1 * (1 - _B + _B * length / self._usual)
        return math.fsum(
            self._weight(word) * counts[word] * (_K1 + 1) / (counts[word] + norm)
            for word in asked
            if counts[word]
        )

    def _weight(self, word: str) -> float:
        """Inverse document frequency, in the form that is never negative."""
        n, holding = len(self._passages), self._holding[word]
        return math.log(1 + (n - holding + 0.5) / (holding + 0.5))


def words(text: str) -> list[str]:
    """Lower case, without punctuation."""
    return _WORD.findall(text.lower())
