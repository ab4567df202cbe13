"""A finished answer, checked against the schema that it was asked for.

What held the answer while it was written knows nothing of some keywords, and an answer cut at
``max_tokens`` is no document at all. What fails here is never passed off as parsed.
"""

from __future__ import annotations

import json
from typing import Any

from localprompt.records.run import FinishReason


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
