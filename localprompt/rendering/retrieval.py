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
    """Passages that can be searched; a question costs what its words' passages are, and no more.

    Args:
        passages: at least one.
    """

    def __init__(self, passages: Sequence[str]) -> None:
        self._passages = tuple(passages)
        self._holding: dict[str, list[tuple[int, int]]] = {}
        lengths = []
        for at, passage in enumerate(passages):
            counts = Counter(words(passage))
            lengths.append(counts.total())
            for word, count in counts.items():
                self._holding.setdefault(word, []).append((at, count))
        usual = sum(lengths) / len(passages) or 1.0
        self._norms = [_K1 * (1 - _B + _B * length / usual) for length in lengths]

    def best(self, question: str) -> str:
        """The passage that fits best; the first of equals."""
        return self._passages[self.ranked(question)[0]]

    def ranked(self, question: str) -> list[int]:
        """The passages' positions, best first; equals in their own order."""
        parts: list[list[float]] = [[] for _ in self._passages]
        for word, times in Counter(words(question)).items():
            holding = self._holding.get(word, ())
            weight = times * self._weight(len(holding)) * (_K1 + 1)
            for at, count in holding:
                parts[at].append(weight * count / (count + self._norms[at]))
        scores = [math.fsum(of_passage) for of_passage in parts]
        return sorted(range(len(scores)), key=lambda at: -scores[at])

    def _weight(self, holding: int) -> float:
        """Inverse document frequency, in the form that is never negative."""
        n = len(self._passages)
        return math.log(1 + (n - holding + 0.5) / (holding + 0.5))


def words(text: str) -> list[str]:
    """Lower case, without punctuation."""
    return _WORD.findall(text.lower())
