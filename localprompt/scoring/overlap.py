"""ROUGE-N: how many of the reference's n-grams are in the answer.

Recall with clipped counts, after C.-Y. Lin, *ROUGE: a package for automatic evaluation of
summaries* (2004): Σ min(count in answer, count in reference) / Σ count in reference. As in
promptfoo, n is 1, case does not matter and words are split by the rules of the Penn Treebank:
punctuation and clitics (``n't``, ``'s``, ``'ll``) are words of their own.
"""

from __future__ import annotations

import re
from collections import Counter

_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r'^"|(?<=[ (\[{<])"', " `` "),
        (r'"', " '' "),
        (r"\.{2,}", " ... "),
        (r"[:,](?!\d)", r" \g<0> "),
        (r"[;@#$%&?!\[\](){}<>]", r" \g<0> "),
        (r"-{2,}", " -- "),
        # Only the last full stop ends the sentence; those inside are of numbers and abbreviations.
        (r"(?<=[^.])\.([\])}>\"' ]*)$", r" . \1"),
        (r"(?<=[^' ])('(?:s|m|d|ll|re|ve)|n't)(?= |$)", r" \1"),
        (r"(?<=[^' ])'(?= |$)", " '"),
        (r"\b(can)(not)\b|\b(gim|lem)(me)\b|\b(gon|wan)(na)\b|\b(got)(ta)\b", "{split}"),
    )
)


def words(text: str) -> list[str]:
    """Penn Treebank words of ``text``, in lower case."""
    text = " ".join(text.lower().split())
    for pattern, replacement in _RULES:
        if replacement == "{split}":
            text = pattern.sub(
                lambda match: " ".join(part for part in match.groups() if part), text
            )
        else:
            text = pattern.sub(replacement, text)
    return text.split()


def rouge_n(answer: str, reference: str, n: int = 1) -> float:
    """Recall of the reference's n-grams, 0 to 1; 0 where the reference has fewer than n words."""
    wanted = _grams(words(reference), n)
    given = _grams(words(answer), n)
    total = wanted.total()
    return (wanted & given).total() / total if total else 0.0


def _grams(tokens: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
