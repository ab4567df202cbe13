"""Checks that look at the answer as text."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any, Literal, cast

from localprompt.records.score import Answer, Expectation
from localprompt.scoring.distance import levenshtein
from localprompt.scoring.expectations import CannotScoreError, Verdict, quoted
from localprompt.scoring.overlap import bleu, gleu, rouge_n
from localprompt.scoring.pattern import found

LEVENSHTEIN_THRESHOLD = 5
ROUGE_THRESHOLD = 0.75
BLEU_THRESHOLD = 0.5


def contains(answer: Answer, expected: Expectation) -> Verdict:
    fold = _fold(expected)
    value = text_value(expected)
    met = fold(value) in fold(answer.text)
    return Verdict(met, f"the output {'contains' if met else 'does not contain'} {quoted(value)}")


def contains_all(answer: Answer, expected: Expectation) -> Verdict:
    fold, values = _fold(expected), _text_values(expected)
    text = fold(answer.text)
    missing = [value for value in values if fold(value) not in text]
    if not missing:
        return Verdict(True, f"the output contains all of {_listed(values)}")
    return Verdict(False, f"the output lacks {_listed(missing)}")


def contains_any(answer: Answer, expected: Expectation) -> Verdict:
    fold, values = _fold(expected), _text_values(expected)
    text = fold(answer.text)
    hit = next((value for value in values if fold(value) in text), None)
    if hit is not None:
        return Verdict(True, f"the output contains {quoted(hit)}")
    return Verdict(False, f"the output contains none of {_listed(values)}")


def starts_with(answer: Answer, expected: Expectation) -> Verdict:
    value = text_value(expected)
    met = answer.text.startswith(value)
    start = quoted(answer.text[: len(value)])
    return Verdict(met, f"the output starts with {start}, expected {quoted(value)}")


def equals_text(answer: Answer, expected: Expectation) -> Verdict:
    """Character by character; a number or a boolean is compared as promptfoo prints it."""
    value = as_text(expected.value)
    given = answer.text
    if expected.normalize_unicode is not None:
        form = cast("Literal['NFC', 'NFD', 'NFKC', 'NFKD']", expected.normalize_unicode)
        value, given = unicodedata.normalize(form, value), unicodedata.normalize(form, given)
    met = value == given
    return Verdict(met, f"the output is {quoted(answer.text)}, expected {quoted(value)}")


def regex(answer: Answer, expected: Expectation) -> Verdict:
    pattern = text_value(expected)
    met = found(pattern, answer.text)
    return Verdict(met, f"{quoted(pattern)} {'matches' if met else 'does not match'} the output")


def levenshtein_distance(answer: Answer, expected: Expectation) -> Verdict:
    """At most ``threshold`` edits, 5 by default."""
    threshold = LEVENSHTEIN_THRESHOLD if expected.threshold is None else expected.threshold
    distance = levenshtein(answer.text, text_value(expected), int(threshold))
    if distance is None:
        return Verdict(False, f"Levenshtein distance is more than {threshold:g}")
    return Verdict(True, f"Levenshtein distance {distance}, at most {threshold:g} allowed")


def rouge(answer: Answer, expected: Expectation) -> Verdict:
    """Words in common with the expected text, at least ``threshold``, 0.75 by default."""
    threshold = ROUGE_THRESHOLD if expected.threshold is None else expected.threshold
    value = text_value(expected)
    if not value.strip():
        raise CannotScoreError("the reference text is empty")
    score = rouge_n(answer.text, value)
    return Verdict(score >= threshold, f"ROUGE-1 {score:.2f}, threshold {threshold:g}", score)


def bleu_score(answer: Answer, expected: Expectation) -> Verdict:
    """Runs of words in common with the closest of the texts, at least ``threshold``, 0.5 by
    default."""
    return _likeness(answer, expected, "BLEU", bleu)


def gleu_score(answer: Answer, expected: Expectation) -> Verdict:
    """The same by the measure for single sentences."""
    return _likeness(answer, expected, "GLEU", gleu)


def _likeness(
    answer: Answer, expected: Expectation, name: str, measure: Callable[[str, list[str]], float]
) -> Verdict:
    threshold = BLEU_THRESHOLD if expected.threshold is None else expected.threshold
    value = expected.value
    references = [as_text(item) for item in (value if isinstance(value, list) else [value])]
    if not answer.text.strip() or not all(reference.strip() for reference in references):
        raise CannotScoreError("a text without words cannot be compared")
    score = measure(answer.text, references)
    return Verdict(score >= threshold, f"{name} {score:.2f}, threshold {threshold:g}", score)


def word_count(answer: Answer, expected: Expectation) -> Verdict:
    """Words between white space: exactly a number, or within ``min`` and ``max`` inclusive."""
    count = len(answer.text.split())
    low, high = count_range(expected.value)
    met = (low is None or count >= low) and (high is None or count <= high)
    if low == high:
        wanted = f"exactly {low:g}"
    else:
        bounds = (("at least", low), ("at most", high))
        wanted = " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
    return Verdict(met, f"{count} words, expected {wanted}")


def count_range(value: Any) -> tuple[float | None, float | None]:
    """The bounds that a ``word-count`` value stands for.

    Raises:
        CannotScoreError: it is neither a number nor a mapping with ``min`` or ``max``.
    """
    try:
        if isinstance(value, dict):
            low, high = (None if value.get(k) is None else float(value[k]) for k in ("min", "max"))
        else:
            low = high = float(value)
    except (TypeError, ValueError, OverflowError):
        low = high = None
    if (low is None and high is None) or (low is not None and high is not None and low > high):
        raise CannotScoreError(f"{quoted(value)} is neither a number nor {{min, max}}")
    return low, high


def as_text(value: Any) -> str:
    """A YAML scalar as text: 4 → ``4``, 4.0 → ``4``, true → ``true``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "null" if value is None else str(value)


def text_value(expected: Expectation) -> str:
    text = as_text(expected.value)
    if not text:
        raise CannotScoreError("the expected text is empty")
    return text


def _text_values(expected: Expectation) -> list[str]:
    values = expected.value if isinstance(expected.value, (list, tuple)) else [expected.value]
    if not values:
        raise CannotScoreError("the list of expected texts is empty")
    return [as_text(value) for value in values]


def _fold(expected: Expectation) -> Callable[[str], str]:
    return str.lower if expected.type.startswith("icontains") else str


def _listed(values: list[str]) -> str:
    return ", ".join(quoted(value) for value in values)


def finish_reason(answer: Answer, expected: Expectation) -> Verdict:
    if answer.finish_reason is None:
        raise CannotScoreError("the run's finish reason is unknown")
    value = text_value(expected)
    met = answer.finish_reason.lower() == value.lower()
    return Verdict(met, f"finish reason {answer.finish_reason}, expected {value}")


def latency(answer: Answer, expected: Expectation) -> Verdict:
    """At most ``threshold`` milliseconds."""
    if answer.latency_seconds is None:
        raise CannotScoreError("the latency is unknown, as for a cached answer")
    if expected.threshold is None:
        raise CannotScoreError("latency has no threshold")
    milliseconds = answer.latency_seconds * 1000
    met = milliseconds <= expected.threshold
    return Verdict(met, f"latency {milliseconds:.0f} ms, threshold {expected.threshold:g} ms")
