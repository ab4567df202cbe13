"""ROUGE-N: what share of words, or of runs of n words, two texts have in common.

As promptfoo computes it since its js-rouge 3.2: the harmonic mean of precision and recall over
words by the rules of the Penn Treebank, upper and lower case told apart. (Before, it was recall
alone.) Those rules take a full stop off the end of a sentence only, so a text is cut into sentences
first; where one ends is guessed more simply here than there.
"""

from __future__ import annotations

import re
from collections import Counter

_ABBREVIATIONS = """
    jr mr mrs ms dr prof sr sen corp rep gov atty supt det rev col gen lt cmdr adm capt sgt maj
    messrs hon e.g i.e ex etc vs ca circa st ft mt inc ltd co dept univ assn bros jan feb mar apr
    jun jul aug sep sept oct nov dec"""
_NEVER_END = frozenset(_ABBREVIATIONS.split())
_END_BEFORE_A_CAPITAL = frozenset({"a.m", "p.m", "u.s", "u.n"})
_END = re.compile(r"\n+|(?:[!?]|(?<![.])[.])\s+")
_LAST_WORD = re.compile(r"([\w.]{1,40})[.]\s*\Z")
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r'^"|(?<=[ (\[{<])"', " `` "),
        (r'"', " '' "),
        (r"\.{3}", " ... "),
        (r"[:,](?!\d)", r" \g<0> "),
        (r"[;@#$%&?!\[\](){}<>]", r" \g<0> "),
        (r"--", " -- "),
        # Only the last full stop ends the sentence; those inside are of numbers and abbreviations.
        (r"(?<=[^.])(?<!\b[A-Za-z]\.[A-Za-z])\.([\])}>\"' ]*)$", r" . \1"),
        (r"(?<=[^' ])('(?:[sSmMdD]|ll|LL|re|RE|ve|VE)|n't|N'T)(?= |$)", r" \1"),
        (r"(?<=[^' ])'(?= |$)", " '"),
        (r"(?i)\b(can)(not)\b|\b(gim|lem)(me)\b|\b(gon|wan)(na)\b|\b(got)(ta)\b", "{split}"),
    )
)


def rouge_n(answer: str, reference: str, n: int = 1) -> float:
    """The F-measure of the n-grams in common, 0 to 1; 0 where a text has fewer than n words."""
    wanted, given = _grams(words(reference), n), _grams(words(answer), n)
    common = (wanted & given).total()
    return 2 * common / (wanted.total() + given.total()) if common else 0.0


def words(text: str) -> list[str]:
    """The words of a text, sentence by sentence, as the Penn Treebank cuts them."""
    return [word for sentence in sentences(text) for word in _words(sentence)]


def sentences(text: str) -> list[str]:
    """The sentences of a text: cut at line ends and behind . ! ? unless it is an abbreviation."""
    found, begin = [], 0
    for match in _END.finditer(text):
        before = text[begin : match.end()]
        last = _LAST_WORD.search(before)
        name = last[1].lower() if last and "\n" not in match[0] else ""
        capital = text[match.end() : match.end() + 1].isupper()
        if name in _NEVER_END or (name in _END_BEFORE_A_CAPITAL and not capital):
            continue
        found.append(before.rstrip())
        begin = match.end()
    return [*found, text[begin:]]


def _words(sentence: str) -> list[str]:
    text = " ".join(sentence.split())
    for pattern, replacement in _RULES:
        if replacement == "{split}":
            text = pattern.sub(
                lambda match: " ".join(part for part in match.groups() if part), text
            )
        else:
            text = pattern.sub(replacement, text)
    return text.split()


def _grams(tokens: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
