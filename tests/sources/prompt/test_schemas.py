"""A schema is read from a file, from JSON or from a few words, or refused with its place."""

from __future__ import annotations

import pytest

from localprompt.errors import InputError
from localprompt.sources.prompt.schemas import schema_from


def test_a_list_of_types_is_a_schema() -> None:
    assert schema_from('{"type": ["string", "null"]}') == {"type": ["string", "null"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type": {"object": true}}', "not a JSON Schema"),
        ('{"properties":' * 900 + "{}" + "}" * 900, "nested deeper than 100 levels"),
        ('{"maximum": ' + "9" * 5000 + "}", "a number of more than"),
    ],
)
def test_what_is_not_a_schema_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        schema_from(text)
