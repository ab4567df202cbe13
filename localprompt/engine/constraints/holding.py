"""A JSON Schema → what an answer is held to while it is written, and what only its end shows.

llguidance refuses a schema as a whole: it says what it cannot do, not where. The place is found by
compiling the schema's parts, inner ones first, which takes a fraction of a millisecond each; what
it cannot do there is taken out and named. An answer is therefore always held to something, and
never to less than could be held.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from localprompt.engine.base import Constraint
from localprompt.engine.constraints.grammars import of_json_schema, problem_of
from localprompt.engine.constraints.schema import Schema, Unheld, read_schema, walk
from localprompt.errors import PromptFileError

_SUSPECTS = (
    "oneOf", "pattern", "patternProperties", "format", "allOf", "minProperties", "maxProperties",
    "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "required", "additionalProperties", "prefixItems",
    "items", "enum", "const", "anyOf", "$ref", "properties", "type",
)  # fmt: skip
"""Keywords in the order in which they are given up."""
_NOTHING = "Unsatisfiable schema"
"""How llguidance begins what it says of a schema that admits nothing."""
MOST_PARTS = 3_000
"""Parts of a schema that are tried one by one; the rest of it is then held to nothing."""


class Holding(msgspec.Struct, frozen=True):
    """A schema, ready to hold an answer."""

    constraint: Constraint
    unheld: tuple[Unheld, ...] = ()


def hold(schema: Any, where: str = "outputs") -> Holding:
    """What an answer to a schema is held to.

    Args:
        schema: plain data.
        where: what to call it in messages.

    Raises:
        PromptFileError: it is not a JSON Schema, is too large, refers to something that is not in
            it, or nothing can satisfy it.
    """
    try:
        return _hold(msgspec.json.encode(schema), where)
    except (TypeError, ValueError, RecursionError) as error:
        raise PromptFileError("not a JSON Schema", where=where, found=str(error)) from None


@lru_cache(maxsize=64)
def _hold(encoded: bytes, where: str) -> Holding:
    reading = read_schema(msgspec.json.decode(encoded), where)
    _check_ends(reading.schema, where)
    read = reading.schema
    problem = problem_of(of_json_schema(read))
    if problem is not None and problem.startswith(_NOTHING):
        read = _without_impossible(read)
        problem = problem_of(of_json_schema(read))
    if problem is None:
        return Holding(of_json_schema(read), reading.unheld)
    _check_satisfiable(problem, where)
    schema = read if isinstance(read, dict) else {}
    relaxing = _Relaxing(schema)
    relaxing.relax()
    constraint = of_json_schema(schema)
    problem = problem_of(constraint)
    if problem is not None:
        _check_satisfiable(problem, where)
        relaxing.unheld.append(Unheld("the schema", "", problem))
        constraint = of_json_schema(True)
    return Holding(constraint, (*reading.unheld, *relaxing.unheld))


def _without_impossible(schema: Schema) -> Schema:
    """Without references to what nothing satisfies: an alternative that leads there is none."""
    defs: dict[str, Any] = schema.get("$defs", {}) if isinstance(schema, dict) else {}
    if not isinstance(schema, dict) or not 0 < len(defs) <= MOST_PARTS:
        return schema
    anything, gone = dict.fromkeys(defs, True), set[str]()
    while more := {
        name
        for name, one in defs.items()
        if name not in gone and _is_impossible(_cut(one, gone), anything)
    }:
        gone |= more
    left = {name: one for name, one in defs.items() if name not in gone}
    found: Schema = _cut({**schema, "$defs": left}, gone)
    return found


def _is_impossible(part: Any, defs: Mapping[str, Any]) -> bool:
    if not isinstance(part, dict):
        return part is False
    problem = problem_of(of_json_schema({**part, "$defs": defs}))
    return problem is not None and problem.startswith(_NOTHING)


def _cut(value: Any, gone: set[str]) -> Any:
    """Data with ``false`` in the place of references to some of the ``$defs``."""
    if isinstance(value, list):
        return [_cut(item, gone) for item in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str) and reference.removeprefix("#/$defs/") in gone:
        return False
    return {key: _cut(item, gone) for key, item in value.items()}


def _check_satisfiable(problem: str, where: str) -> None:
    if problem.startswith(_NOTHING):
        raise PromptFileError(
            "nothing can satisfy the schema",
            where=where,
            found=problem.removeprefix(f"{_NOTHING}: "),
        )


class _Relaxing:
    """Takes out of a schema what llguidance cannot do, part by part."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._defs: dict[str, Any] = schema.get("$defs", {})
        self._behind: dict[str, Any] = {}
        self._tried = 0
        self.unheld: list[Unheld] = []

    def relax(self) -> None:
        """First each part by itself, with references that lead to anything: what is wrong with
        their targets is not this part's. What is wrong only together is looked for afterwards."""
        self._behind = dict.fromkeys(self._defs, True)
        walk(self._schema, self._relax)
        if self._problem(self._schema) is not None:
            self._behind = self._defs
            walk(self._schema, self._relax)

    def _relax(self, part: dict[str, Any], place: str) -> None:
        problem = self._problem(part)
        if problem is None:
            return
        if "oneOf" in part and "anyOf" not in part:
            part["anyOf"] = part.pop("oneOf")
            self._note("oneOf", place, problem)
            problem = self._problem(part)
        for keyword in _SUSPECTS:
            if problem is None:
                return
            if keyword in part:
                without = {key: value for key, value in part.items() if key != keyword}
                if (better := self._problem(without)) is None or better != problem:
                    del part[keyword]
                    self._note(keyword, place, problem)
                    problem = better

    def _problem(self, part: Mapping[str, Any]) -> str | None:
        """What is wrong with a part by itself; that it admits nothing is not."""
        self._tried += 1
        if self._tried > MOST_PARTS:
            return None
        problem = problem_of(of_json_schema({**part, "$defs": self._behind}))
        return None if problem and problem.startswith(_NOTHING) else problem

    def _note(self, keyword: str, place: str, why: str) -> None:
        self.unheld.append(Unheld(keyword, place, _reason(why)))


def _reason(problem: str) -> str:
    """What llguidance says, in a line: of a pattern it draws a picture first."""
    lines = problem.splitlines() or [""]
    said = next((line for line in lines if line.startswith("error: ")), lines[0])
    return said.removeprefix("error: ")


def _check_ends(schema: Schema, where: str) -> None:
    """Whether a document can ever be complete.

    Raises:
        PromptFileError: every document needs another one like it inside.
    """
    if not isinstance(schema, dict):
        return
    ending: set[str] = set()
    defs: dict[str, Any] = schema.get("$defs", {})
    while True:
        more = {name for name, one in defs.items() if name not in ending and _ends(one, ending)}
        if not more:
            break
        ending |= more
    if not _ends(schema, ending):
        raise PromptFileError(
            "nothing can satisfy the schema",
            where=where,
            found="a $ref that leads back to itself, so that no document ever ends",
        )


def _ends(schema: Any, ending: set[str]) -> bool:
    """Whether a document of this schema can end, if those of some ``$defs`` can."""
    if not isinstance(schema, dict):
        return True
    reference = schema.get("$ref")
    if reference is not None and reference.removeprefix("#/$defs/") not in ending:
        return False
    if not all(_ends(one, ending) for one in schema.get("allOf", ())):
        return False
    for keyword in ("anyOf", "oneOf"):
        if schema.get(keyword) and not any(_ends(one, ending) for one in schema[keyword]):
            return False
    types = schema.get("type")
    if types == "object":
        properties = schema.get("properties", {})
        needed = [name for name in _list(schema.get("required")) if isinstance(name, str)]
        return all(_ends(properties.get(name), ending) for name in needed)
    if types == "array" and schema.get("minItems"):
        return _ends(schema.get("items"), ending)
    return True


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
