"""Schemas, closed choices, expressions and grammar files → what an answer is held to.

JSON is written on one line, as ``{"a": 1, "b": [1, 2]}``: the layout in which models have seen
most of it, and one in which every key and every mark between values is forced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from localprompt.engine.base import Constraint
from localprompt.errors import PromptFileError

if TYPE_CHECKING:
    from llguidance import LLParserLimits

_PLACE = re.compile(r"(?:at )?(\d+)\((\d+)\): ")
_LAYOUT = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}


def of_json_schema(schema: Mapping[str, Any] | bool) -> Constraint:
    """A schema in llguidance's words; see :mod:`localprompt.engine.constraints.schema`."""
    whole = schema if isinstance(schema, Mapping) else {"allOf": [schema]}
    whole = {"x-guidance": _LAYOUT, **whole}
    return Constraint(_grammars({"json_schema": whole}))


def of_lines(document: Constraint) -> Constraint:
    """Documents of one schema (:func:`of_json_schema`), one or more, each on a line of its own."""
    [grammar] = json.loads(document.grammar)["grammars"]
    schema = json.dumps(grammar["json_schema"], ensure_ascii=False)
    return Constraint(
        _grammars({"lark_grammar": f'start: document ("\\n" document)*\ndocument: %json {schema}'})
    )


def of_choices(choices: Sequence[str]) -> Constraint:
    """A closed set of answers: exactly one of them."""
    words = " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)
    return Constraint(_grammars({"lark_grammar": f"start: {words}"}))


@lru_cache(maxsize=16)
def of_grammar(text: str, where: str) -> Constraint:
    """A grammar in Lark's notation, or in llama.cpp's (GBNF).

    Args:
        text: the grammar; ``::=`` marks GBNF.
        where: the file, for messages.

    Raises:
        PromptFileError: it is neither; with line and column where they are known.
    """
    lark = _from_gbnf(text, where) if "::=" in text else text
    constraint = Constraint(_grammars({"lark_grammar": lark}))
    problem = problem_of(constraint)
    if problem is not None:
        place = _PLACE.match(problem)
        said = problem[place.end() if place else 0 :].splitlines()[0]
        # What was translated has other lines than the file.
        line = f":{place[1]}:{place[2]}" if place and lark is text else ""
        raise _no_grammar(said, where + line)
    return constraint


def _from_gbnf(text: str, where: str) -> str:
    from llguidance.gbnf_to_lark import GbnfToLarkError, gbnf_to_lark

    try:
        return gbnf_to_lark(text)
    except GbnfToLarkError as error:
        at = error.pos.pos
        line, column = text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
        raise _no_grammar(str(error).partition(" at line")[0], f"{where}:{line}:{column}") from None
    except RecursionError:
        raise _no_grammar("nested too deep", where) from None
    except Exception as error:  # noqa: BLE001 - it raises plain ones for rules that are missing
        raise _no_grammar(str(error), where) from None


def _no_grammar(why: str, where: str) -> PromptFileError:
    return PromptFileError(
        "not a grammar",
        where=where,
        expected='Lark ("start: …") or GBNF ("root ::= …")',
        found=why[:1].lower() + why[1:200],
    )


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
