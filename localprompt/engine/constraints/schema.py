"""A JSON Schema as people write it → the same schema in the words that llguidance reads.

Drafts 4 to 2020-12 say the same things in different words: here they all become 2020-12 without a
``$schema``. References may point anywhere in the document, by pointer, anchor or id; each target
becomes an entry of ``$defs``. Annotations go. Keywords that no grammar can follow go as well and
are named, with their place, so that their user hears of it: the finished answer is checked
against the schema as it was written all the same.

An object that lists ``properties`` and does not mention others is closed: a model that may invent
properties does not stop to. Where ``allOf``, ``anyOf`` or a reference beside them may bring in
more, it stays open, as it does wherever ``additionalProperties`` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

import msgspec

from localprompt.errors import PromptFileError

MOST_NESTED = 100
"""Levels of a schema; the deepest published ones have about 30."""
MOST_NODES = 100_000
"""Mappings, lists and values of a schema."""

Schema = dict[str, Any] | bool

_PLAIN = frozenset(
    "type enum const required minimum maximum multipleOf minLength maxLength pattern minItems "  # noqa: SIM905
    "maxItems minProperties maxProperties".split()
)
FORMATS = frozenset(
    "date-time time date duration email hostname ipv4 ipv6 uuid uri".split()  # noqa: SIM905
)
_AFTERWARDS = frozenset(
    "not if then else contains minContains maxContains uniqueItems propertyNames "  # noqa: SIM905
    "dependencies dependentRequired dependentSchemas unevaluatedItems "
    "unevaluatedProperties".split()
)
_OPENING = frozenset(
    "additionalProperties patternProperties unevaluatedProperties allOf anyOf oneOf $ref "  # noqa: SIM905
    "$dynamicRef $recursiveRef if dependentSchemas dependencies minProperties".split()
)
_COMBINING = ("$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf")
_VALUES = frozenset({"enum", "const", "default", "examples", "example"})
_OLD = ("draft-03", "draft-04", "draft-06", "draft-07")


class Unheld(msgspec.Struct, frozen=True):
    """What an answer is not held to while it is written, only checked for at its end."""

    keyword: str
    place: str
    """As ``properties.age``; empty for the schema itself."""
    why: str = ""

    def __str__(self) -> str:
        at = f" at {self.place}" if self.place else ""
        return f"{self.keyword}{at} is checked when the answer is complete, not while it is written"


class Reading(msgspec.Struct, frozen=True):
    """A schema that was read."""

    schema: Schema
    """In llguidance's words; references lead to its own ``$defs``."""
    unheld: tuple[Unheld, ...]


def read_schema(schema: Any, where: str = "outputs") -> Reading:
    """Put a schema into llguidance's words.

    Args:
        schema: plain data.
        where: what to call it in messages.

    Raises:
        PromptFileError: it is not a JSON Schema, is nested too deep or too large, or refers to
            something that is not in it.
    """
    _check_size(schema, where)
    return _Reader(schema, where).read()


class _Reader:
    def __init__(self, root: Any, where: str) -> None:
        self._root = root
        self._where = where
        dialect = root.get("$schema") if isinstance(root, Mapping) else None
        self._ref_alone = any(old in str(dialect or "") for old in _OLD)
        self._named = dict(_named(root))
        self._names: dict[tuple[int, bool], str] = {}
        self._waiting: list[tuple[str, Any, str, bool, str]] = []
        self._unheld: dict[Unheld, None] = {}

    def read(self) -> Reading:
        schema = self._schema(self._root, "", True, "")
        defs: dict[str, Any] = {}
        while self._waiting:
            name, target, base, closing, place = self._waiting.pop()
            defs[name] = self._schema(target, base, closing, place)
        if defs and isinstance(schema, dict):
            schema["$defs"] = defs
        return Reading(schema, tuple(self._unheld))

    def _schema(self, value: Any, base: str, closing: bool, place: str) -> Schema:
        if isinstance(value, bool):
            return value
        if not isinstance(value, Mapping):
            raise PromptFileError(
                "not a JSON Schema",
                where=f"{self._where}{f'.{place}' if place else ''}",
                expected="a mapping, true or false",
                found=repr(value)[:60],
            )
        if self._ref_alone and isinstance(value.get("$ref"), str):
            value = {"$ref": value["$ref"]}
        base = _joined(base, _id_of(value))
        out: dict[str, Any] = {}
        inner = closing and self._alone(value, base, place)
        for keyword, item in value.items():
            self._keyword(out, value, str(keyword), item, base, inner, place)
        if closing and _can_close(value):
            out["additionalProperties"] = False
        return out

    def _alone(self, value: Mapping[str, Any], base: str, place: str) -> bool:
        """Whether one keyword says all of an object, so that what stands in there may be closed:
        nothing beside it brings properties in, or needs one that it does not name."""
        if "properties" in value or "additionalProperties" in value:
            return False
        combining = [keyword for keyword in _COMBINING if keyword in value]
        required = value.get("required")
        if len(combining) != 1 or not (isinstance(required, list) and required):
            return len(combining) <= 1
        said = value[combining[0]]
        return all(
            set(required) <= self._properties(part, base, place)
            for part in (said if isinstance(said, list) else [{"$ref": said}])
        )

    def _properties(self, part: Any, base: str, place: str) -> set[Any]:
        """What a part of an object names; of a reference what its target does."""
        if isinstance(part, Mapping) and isinstance(part.get("$ref"), str):
            part, _ = self._target(part["$ref"], base, place)
        properties = part.get("properties") if isinstance(part, Mapping) else None
        return set(properties) if isinstance(properties, Mapping) else set()

    def _keyword(
        self,
        out: dict[str, Any],
        whole: Mapping[str, Any],
        keyword: str,
        item: Any,
        base: str,
        inner: bool,
        place: str,
    ) -> None:
        """Translate one keyword.

        Args:
            out: what becomes of the schema.
            whole: the schema.
            inner: whether objects in its ``anyOf`` and the like may be closed.
        """

        def child(value: Any, *steps: str | int, closing: bool = True) -> Schema:
            path = ".".join([*([place] if place else []), keyword, *map(str, steps)])
            return self._schema(value, base, closing, path)

        if keyword in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(item, str):
            out["$ref"] = self._reference(item, base, inner, place)
        elif keyword in ("properties", "patternProperties") and isinstance(item, Mapping):
            out[keyword] = {str(name): child(one, str(name)) for name, one in item.items()}
        elif keyword == "items" and isinstance(item, list):
            out["prefixItems"] = [child(one, at) for at, one in enumerate(item)]
        elif keyword == "prefixItems" and isinstance(item, list):
            out[keyword] = [child(one, at) for at, one in enumerate(item)]
        elif keyword == "additionalItems" and isinstance(whole.get("items"), list):
            out["items"] = child(item)
        elif keyword in ("items", "additionalProperties"):
            out[keyword] = child(item)
        elif keyword in ("allOf", "anyOf", "oneOf") and isinstance(item, list):
            may_close = inner and (keyword != "allOf" or len(item) == 1)
            out[keyword] = [child(one, at, closing=may_close) for at, one in enumerate(item)]
        elif keyword in ("exclusiveMinimum", "exclusiveMaximum"):
            _exclusive(out, whole, keyword, item)
        elif keyword == "format":
            self._format(out, item, place)
        elif keyword in _AFTERWARDS:
            self._drop(keyword, place)
        elif keyword in ("minimum", "maximum") and whole.get(_EXCLUSIVE[keyword]) is True:
            pass  # draft 4: the other keyword says it
        elif keyword in _PLAIN and not (keyword == "required" and isinstance(item, bool)):
            out[keyword] = item

    def _format(self, out: dict[str, Any], item: Any, place: str) -> None:
        if item in FORMATS:
            out["format"] = item
        else:
            self._drop("format", place, f"the format {item!r} is not known")

    def _drop(self, keyword: str, place: str, why: str = "") -> None:
        self._unheld[Unheld(keyword, place, why)] = None

    def _reference(self, reference: str, base: str, closing: bool, place: str) -> str:
        target, target_base = self._target(reference, base, place)
        key = (id(target), closing)
        if isinstance(target, bool):
            key = (int(target), closing)
        if key not in self._names:
            self._names[key] = f"d{len(self._names)}"
            self._waiting.append((self._names[key], target, target_base, closing, reference))
        return f"#/$defs/{self._names[key]}"

    def _target(self, reference: str, base: str, place: str) -> tuple[Any, str]:
        """What a reference leads to, and the base of references in there."""
        whole, fragment = urldefrag(_joined(base, reference))
        found: Any = self._named.get(_joined(base, reference).rstrip("#"))
        if found is not None:
            return found, whole
        start: Any = self._root if whole in ("", urldefrag(base)[0]) else None
        start = self._named.get(whole, start)
        if start is not None and (not fragment or fragment.startswith("/")):
            found = _pointed(start, fragment)
            if isinstance(found, (Mapping, bool)):
                return found, whole
        inside = start is not None
        raise PromptFileError(
            f"the schema refers to {reference!r}, which is not in it",
            where=f"{self._where}{f'.{place}' if place else ''}",
            expected="a place in the same document, as #/$defs/name",
            next_step=None if inside else "copy what it names under $defs; nothing is fetched",
        )


_EXCLUSIVE = {"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"}


def _exclusive(out: dict[str, Any], whole: Mapping[str, Any], keyword: str, item: Any) -> None:
    """Draft 4 says true beside a minimum where later ones give the number itself."""
    if isinstance(item, bool):
        bound = whole.get("minimum" if keyword == "exclusiveMinimum" else "maximum")
        if item and bound is not None:
            out[keyword] = bound
    else:
        out[keyword] = item


def _can_close(schema: Mapping[str, Any]) -> bool:
    """Whether an object may be closed that does not say so."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties or not _OPENING.isdisjoint(schema):
        return False
    required = schema.get("required")
    return not isinstance(required, list) or all(name in properties for name in required)


def _id_of(schema: Mapping[str, Any]) -> str:
    named = schema.get("$id", schema.get("id"))
    return named if isinstance(named, str) else ""


def _joined(base: str, reference: str) -> str:
    if not reference:
        return base
    if base.startswith("urn:") and reference.startswith("#"):
        return urldefrag(base)[0] + reference
    return urljoin(base, reference)


def _named(root: Any) -> Iterator[tuple[str, Any]]:
    """Subschemas by their absolute names: ids and anchors."""
    waiting = [(root, "")]
    while waiting:
        value, base = waiting.pop()
        if isinstance(value, Mapping):
            own = _id_of(value)
            if own:
                base = _joined(base, own)
                yield base.rstrip("#"), value
            for word in ("$anchor", "$dynamicAnchor"):
                if isinstance(value.get(word), str):
                    yield f"{urldefrag(base)[0]}#{value[word]}", value
            if value.get("$recursiveAnchor") is True:
                yield urldefrag(base)[0], value
            waiting += [(one, base) for key, one in value.items() if key not in _VALUES]
        elif isinstance(value, list):
            waiting += [(one, base) for one in value]


def _pointed(start: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901, percent-encoded) leads to; None for nothing."""
    for part in pointer.split("/")[1:]:
        step = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(start, Mapping):
            start = start.get(step)
        elif isinstance(start, list) and step.isdecimal() and int(step) < len(start):
            start = start[int(step)]
        else:
            return None
    return start


def _check_size(schema: Any, where: str) -> None:
    waiting = [(schema, 0)]
    count = 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        problem = "nested too deep" if depth > 2 * MOST_NESTED else None
        problem = "too large" if count > MOST_NODES else problem
        if problem:
            raise PromptFileError(
                f"the schema is {problem}",
                where=where,
                expected=f"at most {MOST_NESTED} levels and {MOST_NODES:,} values",
            )
        if isinstance(value, Mapping):
            waiting += [(one, depth + 1) for one in value.values()]
        elif isinstance(value, list):
            waiting += [(one, depth + 1) for one in value]


def walk(schema: Schema, visit: Callable[[dict[str, Any], str], None], place: str = "") -> None:
    """Call ``visit`` with every schema of a read one and its place, inner ones first."""
    if not isinstance(schema, dict):
        return
    for name, inner in children(schema):
        walk(inner, visit, f"{place}.{name}" if place else name)
    visit(schema, place)


def children(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas directly in a read one, with their places in it."""
    for keyword in ("$defs", "properties", "patternProperties"):
        for name, inner in schema.get(keyword, {}).items():
            yield f"{keyword}.{name}", inner
    for keyword in ("prefixItems", "allOf", "anyOf", "oneOf"):
        for at, inner in enumerate(schema.get(keyword, ())):
            yield f"{keyword}.{at}", inner
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield keyword, schema[keyword]
