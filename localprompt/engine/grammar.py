"""A schema before the answer, and the same schema after it.

Before: JSON Schema becomes a grammar (GBNF) that only lets through what can still become a
matching document. After: the answer is parsed and checked with jsonschema all the same, because
a grammar knows nothing of some keywords (``pattern``, ``multipleOf``, …) and an answer cut at
``max_tokens`` is no document at all. What fails the second check is never passed off as parsed.
"""

from __future__ import annotations

import json
from typing import Any

from localprompt.engine.llama.library import grammar_converter
from localprompt.errors import PromptFileError
from localprompt.records.run import FinishReason

_ANY_CHARACTER = r'char ::= [^"\\]'
_JSON_CHARACTER = r'char ::= [^"\\\x00-\x1F\x7F]'


def grammar_from_schema(schema: dict[str, Any]) -> str:
    """JSON Schema → GBNF with a ``root`` rule.

    Raises:
        PromptFileError: the schema uses what a grammar cannot express.
    """
    try:
        text: str = grammar_converter().json_schema_to_gbnf(json.dumps(schema))
    except Exception as error:  # the converter raises whatever its input makes it stumble over
        raise PromptFileError(
            "the outputs schema cannot become a grammar",
            where="outputs",
            found=f"{type(error).__name__}: {error}",
        ) from error
    # The converter lets raw control characters into strings, which JSON does not (RFC 8259, 7);
    # small models then run on over line ends instead of closing the string.
    return text.replace(_ANY_CHARACTER, _JSON_CHARACTER)


def grammar_from_choices(choices: tuple[str, ...]) -> str:
    """A closed set of answers → GBNF that lets through exactly one of them."""
    return "root ::= " + " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)


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

    try:
        jsonschema.validate(document, schema)
    except jsonschema.ValidationError as error:
        return None, f"the answer does not follow the schema at {error.json_path}: {error.message}"
    except jsonschema.SchemaError as error:
        return None, f"the schema itself is wrong at {error.json_path}: {error.message}"
    return document, None
