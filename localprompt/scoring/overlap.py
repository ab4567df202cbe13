"""What share of words, or of runs of n words, two texts have in common: ROUGE-N, BLEU, GLEU.

ROUGE-N is the harmonic mean of precision and recall over words by the rules of the Penn Treebank,
upper and lower case told apart, as promptfoo computes it since its js-rouge 3.2. (Before, it was
recall alone.) Those rules take a full stop off the end of a sentence only, so a text is cut into
sentences first; where one ends is guessed more simply here than there.

BLEU (Papineni et al. 2002) and GLEU (Wu et al. 2016) are over runs of 1 to 4 words between white
space, in lower case, smoothed as promptfoo smooths them. Its BLEU turns the paper's factor for
short answers round (it rises where they are shorter); so it does here, since a suite's thresholds
were set by it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_ABBREVIATIONS = """
    jr mr mrs ms dr prof sr sen corp rep gov atty supt det rev col gen lt cmdr adm capt sgt maj
    messrs hon e.g i.e ex etc vs ca circa st ft mt inc ltd co dept univ assn bros jan feb mar apr
    jun jul aug sep sept oct nov dec"""
_NEVER_END = frozenset(_ABBREVIATIONS.split())
_END_BEFORE_A_CAPITAL = frozenset({"a.m", "p.m", "u.s", "u.n"})
_END = re.compile(r"\n+|(?:[!?]|(?<![.])[.])\s+")
_LONGEST_WORD = 40
_LAST_WORD = re.compile(r"([\w.]{1,40})[.]\s*\Z")
_LONGEST_RUN = 4
_NONE_IN_COMMON = 1e-7
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


def bleu(answer: str, references: Sequence[str]) -> float:
    """The geometric mean of how many of the answer's runs of 1 to 4 words stand in the reference
    that has most of them; times the factor for short answers."""
    given, wanted = _split(answer), [_split(reference) for reference in references]
    logs = []
    for n in range(1, _LONGEST_RUN + 1):
        grams = _grams(given, n)
        common = max((grams & _grams(other, n)).total() for other in wanted)
        share = common / grams.total() if common else _NONE_IN_COMMON
        logs.append(math.log(share))
    closest = min((len(other) for other in wanted), key=lambda length: abs(length - len(given)))
    factor = 1.0 if len(given) > closest else math.exp(1 - len(given) / closest)
    return factor * math.exp(sum(logs) / _LONGEST_RUN)


def gleu(answer: str, references: Sequence[str]) -> float:
    """The smaller of precision and recall over all runs of 1 to 4 words; of the best reference."""
    given = [word.rstrip(".") for word in _split(answer)]
    return max(_gleu(given, [word.rstrip(".") for word in _split(r)]) for r in references)


def _gleu(given: list[str], wanted: list[str]) -> float:
    if given == wanted:
        return 1.0
    ours, theirs = (
        Counter(gram for n in range(1, _LONGEST_RUN + 1) for gram in _grams(tokens, n).elements())
        for tokens in (given, wanted)
    )
    return (ours & theirs).total() / max(ours.total(), theirs.total(), 1)


def _split(text: str) -> list[str]:
    return text.lower().split()


def words(text: str) -> list[str]:
    """The words of a text, sentence by sentence, as the Penn Treebank cuts them."""
    return [word for sentence in sentences(text) for word in _words(sentence)]


def sentences(text: str) -> list[str]:
    """The sentences of a text: cut at line ends and behind . ! ? unless it is an abbreviation."""
    found, begin = [], 0
    for match in _END.finditer(text):
        # Of abbreviations without end, what stands before each is not looked through again.
        last = _LAST_WORD.search(text, max(begin, match.start() - _LONGEST_WORD), match.end())
        name = last[1].lower() if last and "\n" not in match[0] else ""
        capital = text[match.end() : match.end() + 1].isupper()
        if name in _NEVER_END or (name in _END_BEFORE_A_CAPITAL and not capital):
            continue
        found.append(text[begin : match.end()].rstrip())
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
