"""What schemas hold answers to, what they leave to the check, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localprompt.engine.constraints.holding import hold
from localprompt.errors import PromptFileError
from tests.engine.constraints.judge import schema_admits


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize(
    "value",
    ['3.5" disk', "C:\\new", "one\ntwo", "😀", "", "</s>", "ß\u2028", 1, 1.5, -3, True, None],
)
def test_every_json_value_can_be_in_a_list_of_values(value: Any) -> None:
    schema = _object(x={"enum": [value, "another"]})
    assert schema_admits(schema, {"x": value})
    assert schema_admits(_object(x={"const": value}), {"x": value})
    assert not schema_admits(schema, {"x": "a third"})


@pytest.mark.parametrize("name", ['disk 5"', "a\\b", "two\nlines", "😀", "", "$ref", "properties"])
def test_properties_may_have_any_name(name: str) -> None:
    assert schema_admits(_object(**{name: {"type": "integer"}}), {name: 5})


def test_all_of_one_reference_is_that_reference() -> None:
    schema = {
        **_object(thing={"allOf": [{"$ref": "#/definitions/Thing"}], "default": "foo"}),
        "definitions": {"Thing": {"type": "string", "enum": ["foo", "bar"]}},
    }
    assert schema_admits(schema, {"thing": "bar"})
    assert not schema_admits(schema, {"thing": {}})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "maxLength": 2000},
        {"type": "string", "maxLength": 20000},
        {"type": "array", "items": {"type": "integer"}, "maxItems": 30000},
        {"enum": [f"value {n} of ten thousand" for n in range(10_000)]},
        {"type": "string", "minLength": 1000, "maxLength": 1000},
        {"type": "string", "maxLength": 10**12},
    ],
)
def test_large_bounds_hold_or_are_left_to_the_check(schema: dict[str, Any]) -> None:
    holding = hold(_object(s=schema))
    assert holding.constraint.grammar


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"^\d{5}$", "12345", "1234"),
        (r"^[0-9]+\.[0-9]{2}$", "12.50", "12.5"),
        (r"^\w+\s\w+$", "a b", "ab"),
        (r"[a-z]", "A word", "12"),
        (r"^\/x\/$", "/x/", "x"),
        (r"^\p{Lu}", "École", "école"),
        (r"^(a+)+$", "aaaa", "aab"),
        (r"^[^x\\]*$", "plain", "axe"),
    ],
)
def test_patterns_hold(pattern: str, good: str, bad: str) -> None:
    schema = _object(x={"type": "string", "pattern": pattern})
    assert hold(schema).unheld == ()
    assert schema_admits(schema, {"x": good})
    assert not schema_admits(schema, {"x": bad})


@pytest.mark.parametrize(
    ("part", "keyword"),
    [
        ({"type": "string", "pattern": "^(?=a)"}, "pattern"),
        ({"type": "string", "pattern": "(a)\\1"}, "pattern"),
        ({"type": "string", "pattern": "["}, "pattern"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"not": {"type": "string"}}, "not"),
        ({"type": "string", "format": "colour"}, "format"),
        ({"type": "array", "contains": {"type": "string"}}, "contains"),
        ({"if": {"type": "string"}, "then": {"minLength": 1}}, "if"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"type": "object", "propertyNames": {"maxLength": 3}}, "propertyNames"),
    ],
)
def test_what_cannot_be_held_is_named_with_its_place(part: dict[str, Any], keyword: str) -> None:
    schema = _object(a={"type": "string", "maxLength": 2}, b={"type": "array", "items": part})
    named = {(one.keyword, one.place) for one in hold(schema).unheld}
    assert (keyword, "properties.b.items") in named
    assert all(place == "properties.b.items" for _, place in named)
    assert not schema_admits(schema, {"a": "long", "b": []}), "the rest holds as before"


def test_references_lead_anywhere_in_the_document() -> None:
    schema = {
        "$defs": {
            "shop": {"type": "object", "properties": {"kind": {"enum": ["x1", "x2"]}}},
            "item": {"type": "object", "properties": {"kind": {"type": "integer"}}},
            "string": {"enum": ["y"]},
            "a/b c~": {"enum": ["z"]},
            "anchored": {"$anchor": "here", "enum": ["w"]},
            "named": {"$id": "https://example.org/named", "enum": ["v"]},
        },
        **_object(
            p={"$ref": "#/$defs/shop/properties/kind"},
            q={"$ref": "#/$defs/item/properties/kind"},
            r={"$ref": "#/$defs/string"},
            s={"$ref": "#/$defs/a~1b%20c~0"},
            t={"$ref": "#here"},
            u={"$ref": "https://example.org/named"},
            v={"anyOf": [{"type": "string", "maxLength": 1}, {"type": "integer"}]},
            w={"$ref": "#/properties/v/anyOf/0"},
        ),
    }
    good = {"p": "x1", "q": 1, "r": "y", "s": "z", "t": "w", "u": "v", "v": 2, "w": "k"}
    assert schema_admits(schema, good)
    for name, bad in {"p": 1, "q": "x1", "r": "n", "s": "n", "t": "n", "u": "n", "w": 2}.items():
        assert not schema_admits(schema, {**good, name: bad}), name


def test_a_schema_may_refer_to_itself() -> None:
    kids = {"type": "array", "maxItems": 2, "items": {"$ref": "#"}}
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "kids": kids},
        "required": ["name"],
    }
    assert schema_admits(schema, {"name": "a", "kids": [{"name": "b"}, {"name": "c", "kids": []}]})
    assert not schema_admits(schema, {"name": "a", "kids": [1]})


@pytest.mark.parametrize("anything", [{"description": "anything"}, True, {}])
def test_no_type_is_no_restriction(anything: Any) -> None:
    schema = _object(op={"type": "string"}, value=anything)
    values: tuple[Any, ...] = ("a", 1, None, [1, {"b": 2}], {"c": []})
    for value in values:
        assert schema_admits(schema, {"op": "x", "value": value})


def test_drafts_say_the_same_in_their_own_words() -> None:
    old = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "array",
        "items": [{"type": "integer", "minimum": 3, "exclusiveMinimum": True}, {"type": "string"}],
        "additionalItems": False,
    }
    new = {
        "type": "array",
        "prefixItems": [{"type": "integer", "exclusiveMinimum": 3}, {"type": "string"}],
        "items": False,
    }
    for schema in (old, new):
        assert schema_admits(schema, [4, "a"])
        assert not schema_admits(schema, [3, "a"])
        assert not schema_admits(schema, [4, "a", 1])


def test_properties_come_in_the_order_in_which_they_are_written() -> None:
    schema = _object(b={"type": "integer"}, a={"type": "integer"})
    assert schema_admits(schema, {"b": 1, "a": 2})
    assert not schema_admits(schema, {"a": 2, "b": 1})


def test_an_object_is_closed_unless_it_says_otherwise() -> None:
    plain = _object(a={"type": "integer"})
    more = {"a": 1, "z": 2}
    assert not schema_admits(plain, more)
    assert schema_admits({**plain, "additionalProperties": True}, more)
    assert schema_admits({**plain, "additionalProperties": {"type": "integer"}}, more)
    assert not schema_admits({**plain, "additionalProperties": {"type": "string"}}, more)
    both = {"allOf": [plain, _object(z={"type": "integer"})]}
    assert schema_admits(both, more), "what comes together from several parts stays open"


@pytest.mark.parametrize(
    "beside",
    [
        {"allOf": [{"$ref": "#/$defs/named"}]},
        {"$ref": "#/$defs/named"},
        {"required": ["name"]},
        {"allOf": [{"$ref": "#/$defs/named"}], "required": ["name"]},
    ],
)
def test_alternatives_stay_open_where_another_part_names_or_needs_more(
    beside: dict[str, Any],
) -> None:
    ways = [{"properties": {way: {"type": "string"}}, "required": [way]} for way in ("path", "cmd")]
    schema = {
        "$defs": {"named": {"properties": {"name": {"type": "string"}}}},
        "type": "object",
        "properties": {"profile": {"type": "object", "anyOf": ways, **beside}},
        "required": ["profile"],
    }
    for way in ("path", "cmd"):
        orders: tuple[dict[str, str], ...] = ({"name": "a", way: "b"}, {way: "b", "name": "a"})
        assert any(schema_admits(schema, {"profile": profile}) for profile in orders)
    assert not schema_admits(schema, {"profile": {"name": "a"}})


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        (_object(a={"enum": []}), "unsatisfiable"),
        (_object(a={"type": "integer", "minimum": 5, "maximum": 3}), "unsatisfiable"),
        ({"$ref": "#"}, "leads back to itself"),
        ({"$ref": "#/$defs/no", "$defs": {"no": False}}, "schema is false"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "leads back to itself"),
        (
            {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
            "no document ever ends",
        ),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, ""),
    ],
)
def test_a_schema_that_nothing_satisfies_is_refused(schema: dict[str, Any], found: str) -> None:
    with pytest.raises(PromptFileError, match="nothing can satisfy") as caught:
        hold(schema)
    assert found in (caught.value.found or "")


def test_an_alternative_that_nothing_satisfies_leaves_the_others() -> None:
    schema = {
        "$defs": {
            "never": {
                "type": "object",
                "additionalProperties": False,
                "oneOf": [{"properties": {"kind": {"const": "x"}}, "required": ["kind"]}],
            },
            "title": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/never"}]},
        },
        **_object(title={"$ref": "#/$defs/title"}),
    }
    assert schema_admits(schema, {"title": "a"})
    assert not schema_admits(schema, {"title": {"kind": "x"}})
    with pytest.raises(PromptFileError, match="nothing can satisfy"):
        hold(_object(title={"$ref": "#/$defs/never"}) | {"$defs": schema["$defs"]})


@pytest.mark.parametrize(
    "reference", ["https://example.org/other.json", "other.json#/a", "file:///etc/passwd", "#/nope"]
)
def test_a_reference_to_something_outside_is_refused_and_nothing_is_fetched(reference: str) -> None:
    with pytest.raises(PromptFileError, match="which is not in it") as caught:
        hold(_object(a={"$ref": reference}))
    assert caught.value.where == "outputs.properties.a"


def test_a_schema_nested_without_measure_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(500):
        schema = {"type": "array", "items": schema}
    with pytest.raises(PromptFileError, match="nested too deep"):
        hold(schema)


@pytest.mark.parametrize("schema", [[], "text", 3, None, {"properties": {"a": 3}}])
def test_what_is_no_schema_is_refused(schema: Any) -> None:
    with pytest.raises(PromptFileError, match="not a JSON Schema"):
        hold(schema)


def test_what_pydantic_writes_is_held_as_it_is() -> None:
    schema = {
        "$defs": {
            "Colour": {"enum": ["red", "blue"], "title": "Colour", "type": "string"},
            "Line": {
                "properties": {
                    "item": {"title": "Item", "type": "string"},
                    "price": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
                },
                "required": ["item"],
                "title": "Line",
                "type": "object",
            },
        },
        "properties": {
            "colour": {"allOf": [{"$ref": "#/$defs/Colour"}], "default": "red"},
            "lines": {"items": {"$ref": "#/$defs/Line"}, "title": "Lines", "type": "array"},
            "by_name": {"additionalProperties": {"type": "integer"}, "type": "object"},
        },
        "required": ["lines"],
        "title": "Order",
        "type": "object",
    }
    assert hold(schema).unheld == ()
    good = {"colour": "blue", "lines": [{"item": "a", "price": None}], "by_name": {"k": 1}}
    assert schema_admits(schema, good)
    assert not schema_admits(schema, {**good, "colour": "green"})
    assert not schema_admits(schema, {"lines": [{"item": "a", "colour": "red"}]})


def test_equal_schemas_give_equal_constraints() -> None:
    schema = _object(a={"type": "integer"})
    assert hold(schema).constraint.sha256 == hold(json.loads(json.dumps(schema))).constraint.sha256


@pytest.mark.parametrize(("draft", "named"), [("07", "$id"), ("04", "id")])
def test_beside_a_reference_old_drafts_name_no_base(draft: str, named: str) -> None:
    schema = {
        "$schema": f"http://json-schema.org/draft-{draft}/schema#",
        named: "http://example.com/base/",
        "definitions": {
            "text": {named: "http://example.com/foo.json", "type": "string"},
            "number": {named: "foo.json", "type": "number"},
        },
        "allOf": [{named: "http://example.com/", "$ref": "foo.json"}],
    }
    assert schema_admits(schema, 1)
    assert not schema_admits(schema, "a")
