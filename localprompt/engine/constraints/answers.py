"""A finished answer, checked against the schema that it was asked for.

What held the answer while it was written knows nothing of some keywords, and an answer cut at
``max_tokens`` is no document at all. What fails here is never passed off as parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from localprompt.errors import PromptFileError
from localprompt.records.run import FinishReason

_CHECKED_FORMATS = frozenset({"date-time", "time", "date", "email", "ipv4", "ipv6", "uuid"})
"""As far as jsonschema has the packages for them: for some it needs further ones."""
_NESTED_REPETITION = re.compile(r"[+*}][^()]{0,200}\)[+*{]")


def parse_output(
    text: str, schema: dict[str, Any], finish_reason: FinishReason
) -> tuple[Any, str | None]:
    """An answer → (the document, None) or (None, why it is not one).

    Fails closed: an answer that was cut short is not parsed even where it happens to be valid.
    """
    if finish_reason != "stop":
        return None, f"the answer was cut short ({finish_reason})"
    try:
        document = json.loads(text)
    except ValueError as error:
        return None, f"the answer is not JSON: {error}"
    import jsonschema
    import referencing.exceptions

    try:
        _check(document, schema)
    except jsonschema.ValidationError as error:
        return None, f"the answer does not follow the schema at {error.json_path}: {error.message}"
    except jsonschema.SchemaError as error:
        return None, f"the schema itself is wrong at {error.json_path}: {error.message}"
    except (referencing.exceptions.Unresolvable, RecursionError) as error:
        return None, f"the schema could not be followed to its end: {error}"
    return document, None


def parse_lines(
    text: str, schema: dict[str, Any], finish_reason: FinishReason
) -> tuple[list[Any], str | None]:
    """An answer of one document a line → (the documents, None if these are all that was asked).

    Lines that are whole are whole wherever the answer was cut; a wrong one ends the reading.
    """
    documents: list[Any] = []
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        reason = finish_reason if number == len(lines) else "stop"
        document, problem = parse_output(line, schema, reason)
        if problem is not None:
            return documents, f"line {number}: {problem}"
        documents.append(document)
    return documents, None


def check_schema(schema: dict[str, Any], where: str) -> None:
    """
    Raises:
        PromptFileError: a keyword has a value that its draft does not allow.
    """
    import jsonschema
    from jsonschema.validators import validator_for

    try:
        validator_for(schema, default=jsonschema.Draft202012Validator).check_schema(schema)
    except jsonschema.SchemaError as error:
        raise PromptFileError(
            f"the schema is wrong at {error.json_path}", where=where, found=error.message[:200]
        ) from None


def _check(document: Any, schema: dict[str, Any]) -> None:
    """
    Raises:
        jsonschema.ValidationError, jsonschema.SchemaError: the first thing that is wrong.
        referencing.exceptions.Unresolvable, RecursionError: a reference leads nowhere.
    """
    import jsonschema
    from jsonschema.validators import extend, validator_for

    whole = validator_for(schema, default=jsonschema.Draft202012Validator)
    whole.check_schema(schema)
    checker = extend(whole, {"pattern": _pattern})  # type: ignore[no-untyped-call]
    formats = jsonschema.FormatChecker(_CHECKED_FORMATS & jsonschema.FormatChecker.checkers.keys())
    error = jsonschema.exceptions.best_match(
        checker(schema, format_checker=formats).iter_errors(document)
    )
    if error is not None:
        raise error


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Any]:
    """As jsonschema's own, but for patterns that Python's ``re`` cannot read or may never be done
    with; the answer was held to those while it was written."""
    from jsonschema import ValidationError

    if not isinstance(instance, str) or _NESTED_REPETITION.search(pattern):
        return
    with suppress(re.error):
        if not re.search(pattern, instance):
            yield ValidationError(f"{instance!r} does not match {pattern!r}")
