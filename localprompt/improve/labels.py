"""Label words: what a model is offered to say for each closed answer, where that is another word.

A small model likes some words whatever it has read, and knows some better than others. With
``--labels FILE`` the same question is asked with other words for its answers:

    positive: [good, great]
    negative: [bad, terrible]

makes two sets, *good / bad* and *great / terrible*. The prompt's own text says them, too; what it
answers is still recorded as the choice (``metadata.localprompt.label_words``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from localprompt import doors
from localprompt.errors import InputError
from localprompt.improve.wordings import Wording
from localprompt.sources.yaml import NUMBERS, read_yaml, word

LabelWords = tuple[tuple[str, str], ...]
"""Choice and word, in the choices' order."""
MOST_SETS = 12
_MOST_BYTES = 1 << 16


def read_labels(path: Path, choices: Sequence[str]) -> tuple[LabelWords, ...]:
    """The sets of a file, in its order.

    Raises:
        InputError: the file cannot be read; it is not a list of words for each choice, as many for
            each; or a set says the same for two of them.
    """
    where = str(path)
    if not choices:
        raise InputError(
            "the prompt has no closed set of answers to say in other words",
            where="--labels",
            expected="metadata.localprompt.choices in the prompt file",
        )
    text = doors.read_text(path, most_bytes=_MOST_BYTES)
    data = read_yaml(text, where, words=lambda _: NUMBERS, error=InputError).data
    expected = "; ".join(f"{choice}: [word, word]" for choice in choices)
    if not isinstance(data, dict) or set(map(word, data)) != set(choices):
        found = ", ".join(map(str, data)) if isinstance(data, dict) else type(data).__name__
        raise InputError(
            "the label words are not of the prompt's choices",
            where=where,
            expected=expected,
            found=found,
        )
    lists = {word(choice): _listed(some, where, expected) for choice, some in data.items()}
    lengths = {len(some) for some in lists.values()}
    if len(lengths) != 1 or not 1 <= max(lengths) <= MOST_SETS:
        raise InputError(
            f"every choice needs the same number of words, at most {MOST_SETS}",
            where=where,
            expected=f"{expected}; the first ones of all make a set, and so on",
            found=", ".join(f"{len(some)} for {choice}" for choice, some in lists.items()),
        )
    sets = tuple(
        tuple((choice, lists[choice][at]) for choice in choices) for at in range(lengths.pop())
    )
    for one in sets:
        said = [text for _, text in one]
        if len(set(said)) < len(said) or not all(said):
            raise InputError(
                "a set of label words has to tell the choices apart",
                where=where,
                expected="another word for each",
                found=" / ".join(said),
            )
    return sets


def in_capitals(choices: Sequence[str]) -> LabelWords | None:
    """The choices with a capital first letter: after ``Sentiment:`` many texts go on so. None where
    they have one, or do not begin with a letter."""
    words = [choice[:1].upper() + choice[1:] for choice in choices]
    if not choices or any(w == c for w, c in zip(words, choices, strict=True)):
        return None
    return tuple(zip(choices, words, strict=True)) if len(set(words)) == len(words) else None


def with_words(wording: Wording, words: LabelWords) -> Wording:
    """The wording, asking for these words instead of the choices."""
    said = " / ".join(text for _, text in words)
    return Wording(
        f"{wording.name}, labels said {said}", _renamed(wording.body, dict(words)), words
    )


def _renamed(body: str, words: Mapping[str, str]) -> str:
    """The template's own text with each choice replaced where it stands as a word of its own;
    what is inside ``{{ }}`` stays."""
    longest_first = sorted(words, key=len, reverse=True)
    pattern = re.compile(
        r"{{.{0,2000}?}}|(?<!\w)(" + "|".join(map(re.escape, longest_first)) + r")(?!\w)", re.DOTALL
    )
    return pattern.sub(lambda hit: words[hit[1]] if hit[1] else hit[0], body)


def _listed(value: object, where: str, expected: str) -> list[str]:
    """``[good, great]``, or one word alone.

    Raises:
        InputError: something else stands there.
    """
    items = [word(item) for item in (value if isinstance(value, list) else [value])]
    for item in items:
        if not isinstance(item, str) or not item.strip():
            raise InputError("not a label word", where=where, expected=expected, found=repr(item))
    return [item.strip() for item in items]
