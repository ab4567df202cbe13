"""Checks that look at the answer as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from localprompt.records.score import Answer, Expectation
from localprompt.scoring.bounded import PATTERN_SECONDS, run_bounded
from localprompt.scoring.expectations import CannotScoreError, Verdict, quoted
from localprompt.scoring.text_checks import equals_text

_MISSING = object()
MOST_ATTEMPTS = 2000
"""How many brackets of an answer are tried as the beginning of JSON."""


def equals(answer: Answer, expected: Expectation) -> Verdict:
    """Deep equality of JSON where the expected value is an object or a list; otherwise of text."""
    if not isinstance(expected.value, (dict, list, tuple)):
        return equals_text(answer, expected)
    try:
        given = parse(answer.text)
    except ValueError as error:
        return Verdict(False, f"the output is not JSON: {error}")
    met = _same(given, expected.value)
    shown = quoted(json.dumps(expected.value, ensure_ascii=False))
    return Verdict(met, f"the output {'equals' if met else 'differs from'} {shown}")


def fields_right(text: str, expected: Mapping[str, Any]) -> float:
    """The share of an object's fields that an answer has right, 0 to 1.

    Objects inside it are counted by their fields; a list is one field. A field that was not asked
    for counts as a wrong one. What is not JSON has none right.
    """
    try:
        given = parse(text)
    except ValueError:
        return 0.0
    right, fields = _fields(given, expected)
    return right / fields if fields else float(_same(given, expected))


def is_json(answer: Answer, expected: Expectation) -> Verdict:
    """The whole answer is JSON and, where a schema is given, follows it."""
    try:
        instance = parse(answer.text)
    except ValueError as error:
        return Verdict(False, f"the output is not JSON: {error}")
    if expected.value is None:
        return Verdict(True, "the output is JSON")
    objection = _objection(instance, expected.value)
    return Verdict(objection is None, objection or "the output follows the schema")


def contains_json(answer: Answer, expected: Expectation) -> Verdict:
    """Somewhere in the answer stands a JSON object or list that follows the schema, if any."""
    objection = "the output contains no JSON object or list"
    for instance in embedded(answer.text):
        if expected.value is None:
            return Verdict(True, "the output contains JSON")
        problem = _objection(instance, expected.value)
        if problem is None:
            return Verdict(True, "the output contains JSON that follows the schema")
        objection = problem
    return Verdict(False, objection)


def parse(text: str) -> Any:
    """JSON as JavaScript's ``JSON.parse`` takes it: no NaN and no Infinity.

    Raises:
        ValueError: it is not JSON, or nested too deep.
    """
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None


def as_value(answer: Answer) -> Answer:
    """The answer as the JSON value that it is; as it stands where it is none."""
    try:
        value = parse(answer.text)
    except ValueError:
        return answer
    if not isinstance(value, (dict, list)):
        return answer
    return msgspec.structs.replace(answer, text=stringified(value), output=value)


def stringified(value: Any) -> str:
    """JSON as JavaScript's ``JSON.stringify`` writes it: without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def embedded(text: str) -> Iterator[Any]:
    """The JSON objects and lists in ``text``, outermost ones, in order.

    Raises:
        CannotScoreError: there are more beginnings than ``MOST_ATTEMPTS`` without an end.
    """
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    position = attempts = 0
    while (position := _next_bracket(text, position)) >= 0:
        attempts += 1
        if attempts > MOST_ATTEMPTS:
            raise CannotScoreError(f"more than {MOST_ATTEMPTS} brackets could begin JSON")
        try:
            instance, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
        else:
            yield instance


def _next_bracket(text: str, start: int) -> int:
    places = [place for place in (text.find("{", start), text.find("[", start)) if place >= 0]
    return min(places, default=-1)


def _objection(instance: Any, schema: Any) -> str | None:
    found: str | None = run_bounded("conforms", PATTERN_SECONDS, schema=schema, instance=instance)
    return found


def _fields(given: Any, expected: Any) -> tuple[int, int]:
    """How many fields are right, of how many."""
    if not isinstance(expected, Mapping) or not expected:
        return int(_same(given, expected)), 1
    there = given if isinstance(given, Mapping) else {}
    found = [_fields(there.get(key, _MISSING), value) for key, value in expected.items()]
    surplus = len(there.keys() - expected.keys())
    return sum(right for right, _ in found), sum(fields for _, fields in found) + surplus


def _same(a: Any, b: Any) -> bool:
    """Equality of JSON values: unlike in Python, ``true`` is not 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
