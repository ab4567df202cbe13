"""A finished answer, checked against the schema that it was asked for.

What held the answer while it was written knows nothing of some keywords, and an answer cut at
``max_tokens`` is no document at all. What fails here is never passed off as parsed.
"""

from __future__ import annotations

import json
import re
from typing import Any

from localprompt.errors import PromptFileError
from localprompt.records.run import FinishReason
from localprompt.scoring.bounded import PATTERN_SECONDS, run_bounded
from localprompt.scoring.expectations import CannotScoreError

_CHECKED_FORMATS = frozenset({"date-time", "time", "date", "email", "ipv4", "ipv6", "uuid"})
"""As far as jsonschema has the packages for them: for some it needs further ones."""
_CHOICE = re.compile(r"[*+?|]|\{\d*,")
"""Where a matcher may try several ways; with two of them, more ways than it can ever try."""
_VALUES = frozenset({"enum", "const", "default", "examples"})


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
    except (ValueError, RecursionError) as error:
        return None, f"the answer is not JSON: {error}"
    import jsonschema
    import referencing.exceptions

    try:
        objection = _objection(document, schema)
    except jsonschema.SchemaError as error:
        return None, f"the schema itself is wrong at {error.json_path}: {error.message}"
    except CannotScoreError as error:
        return None, f"the answer could not be checked against the schema: {error}"
    except (referencing.exceptions.Unresolvable, RecursionError, ArithmeticError) as error:
        return None, f"the schema could not be followed to its end: {error}"
    if objection is not None:
        return None, f"the answer does not follow the schema at {objection}"
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


def _objection(document: Any, schema: dict[str, Any]) -> str | None:
    """The most relevant thing that is wrong, and where; None: nothing.

    Raises:
        jsonschema.SchemaError: the schema is wrong.
        CannotScoreError: a pattern of it takes too long.
        referencing.exceptions.Unresolvable, RecursionError: a reference leads nowhere.
    """
    import jsonschema
    from jsonschema.validators import validator_for

    schema, patterns = _with_readable_patterns(schema)
    whole = validator_for(schema, default=jsonschema.Draft202012Validator)
    whole.check_schema(schema)
    formats = _CHECKED_FORMATS & jsonschema.FormatChecker.checkers.keys()
    if any(len(_CHOICE.findall(pattern)) > 1 for pattern in patterns):
        # Such a one may never be done, and cannot be interrupted here.
        given = {"schema": schema, "instance": document, "formats": sorted(formats)}
        found: str | None = run_bounded("conforms", PATTERN_SECONDS, **given)
        return found
    checker = whole(schema, format_checker=jsonschema.FormatChecker(formats))
    error = jsonschema.exceptions.best_match(checker.iter_errors(document))
    return None if error is None else f"{error.json_path}: {error.message}"


def _with_readable_patterns(schema: Any) -> tuple[Any, list[str]]:
    """The schema without patterns that Python cannot read, and the patterns that it has. The
    answer was held to the others, too, while it was written."""
    patterns: list[str] = []

    def read(pattern: str) -> bool:
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError):
            return False
        patterns.append(pattern)
        return True

    def kept(value: Any) -> Any:
        if isinstance(value, list):
            return [kept(item) for item in value]
        if not isinstance(value, dict):
            return value
        found = {key: item if key in _VALUES else kept(item) for key, item in value.items()}
        if isinstance(pattern := found.get("pattern"), str) and not read(pattern):
            del found["pattern"]
        named = found.get("patternProperties")
        if isinstance(named, dict):
            found["patternProperties"] = {name: one for name, one in named.items() if read(name)}
            if len(found["patternProperties"]) < len(named):
                found.pop("additionalProperties", None)
        return found

    return kept(schema), patterns
