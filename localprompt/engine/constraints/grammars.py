"""Schemas, closed choices, expressions and grammar files → what an answer is held to.

JSON is written on one line, as ``{"a": 1, "b": [1, 2]}``: the layout in which models have seen
most of it, and one in which every key and every mark between values is forced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from localprompt.engine.base import Constraint

if TYPE_CHECKING:
    from llguidance import LLParserLimits

_LAYOUT = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}


def of_json_schema(schema: Mapping[str, Any] | bool) -> Constraint:
    """A schema in llguidance's words; see :mod:`localprompt.engine.constraints.schema`."""
    whole = schema if isinstance(schema, Mapping) else {"allOf": [schema]}
    whole = {"x-guidance": _LAYOUT, **whole}
    return Constraint(_grammars({"json_schema": whole}))


def of_choices(choices: Sequence[str]) -> Constraint:
    """A closed set of answers: exactly one of them."""
    words = " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)
    return Constraint(_grammars({"lark_grammar": f"start: {words}"}))


def of_regex(pattern: str) -> Constraint:
    """A regular expression that the whole answer matches."""
    escaped = pattern.replace("/", "\\/")
    return Constraint(_grammars({"lark_grammar": f"start: /{escaped}/"}))


def problem_of(constraint: Constraint) -> str | None:
    """Why llguidance would not follow a constraint; None if it does."""
    from llguidance import LLMatcher

    refused, said = LLMatcher.validate_grammar_with_warnings(constraint.grammar, limits=limits())
    return said[0] if refused else None


def limits() -> LLParserLimits:
    """What a constraint may take: a list of 10,000 values compiles in half a second."""
    from llguidance import LLParserLimits

    return LLParserLimits(initial_lexer_fuel=10_000_000, verbose_errors=False)


def _grammars(grammar: Mapping[str, Any]) -> str:
    return json.dumps({"grammars": [grammar]}, ensure_ascii=False)
