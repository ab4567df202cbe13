"""Answers in a form: schemas, grammars and tables, on the starter model."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from localprompt.records import json as record_json
from tests.cli.conftest import Localprompt

pytestmark = pytest.mark.model

SHORT = ("--threads", "1", "--no-log", "--max-tokens", "60")


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


SCHEMAS: dict[str, dict[str, Any]] = {
    "all of one reference": {
        **_object(thing={"allOf": [{"$ref": "#/definitions/Thing"}], "default": "foo"}),
        "definitions": {"Thing": {"type": "string", "enum": ["foo", "bar"]}},
    },
    "a quote in a value": _object(size={"enum": ['3.5" disk', '5" disk']}),
    "a backslash in a value": _object(folder={"enum": ["C:\\temp", "C:\\new"]}),
    "a line end in a value": _object(verse={"enum": ["one\ntwo", "three\nfour"]}),
    "emoji as values": _object(mood={"enum": ["😀", "😢"]}),
    "a quote in a name": _object(**{'disk 5"': {"type": "integer", "maximum": 99}}),
    "maxLength 20000": _object(s={"type": "string", "maxLength": 20000, "pattern": "^[a-z]{3}$"}),
    "maxItems 30000": _object(n={"type": "array", "items": {"const": 1}, "maxItems": 30000}),
    "an object or null": _object(mood={"type": ["object", "null"], "maxProperties": 0}),
    "digits": _object(zip={"type": "string", "pattern": "^\\d{5}$"}),
    "a price": _object(price={"type": "string", "pattern": "^[0-9]{1,3}\\.[0-9]{2}$"}),
    "names alike": {
        "$defs": {
            "shop": {"properties": {"kind": {"enum": ["x1", "x2"]}}},
            "item": {"properties": {"kind": {"type": "integer", "maximum": 9, "minimum": 0}}},
        },
        **_object(
            p={"$ref": "#/$defs/shop/properties/kind"}, q={"$ref": "#/$defs/item/properties/kind"}
        ),
    },
    "itself inside": _object(name={"enum": ["a"]})
    | {
        "properties": {
            "name": {"enum": ["a"]},
            "kids": {"type": "array", "maxItems": 1, "items": {"$ref": "#"}},
        }
    },
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_answer_follows_its_schema(localprompt: Localprompt, name: str) -> None:
    schema = SCHEMAS[name]
    asked = ("ask", "Make up a record.", "--schema", json.dumps(schema), *SHORT)
    ran = localprompt(*asked, "--complete-json", "--json", "--quiet")
    assert ran.code == 0, ran.err
    record = record_json.decode(ran.out)
    jsonschema.validate(json.loads(record.output.text), schema)
    assert record.output.parsed == json.loads(record.output.text)
    assert record.tokens.forced is not None


def test_the_short_form_names_fields(localprompt: Localprompt) -> None:
    fields = "name, age int, city: where they live"
    ran = localprompt("ask", "John, 43, from Porto.", "--schema", fields, *SHORT)
    assert ran.code == 0, ran.err
    assert list(json.loads(ran.out)) == ["name", "age", "city"]
    assert "forced" in ran.err


def test_several_documents_stand_on_lines_of_their_own(localprompt: Localprompt) -> None:
    asked = ("ask", "Ann is 20, Bo is 30, Cy is 40. List them.", "--schema", "name, age int")
    ran = localprompt(*asked, "--json-lines", *SHORT, "--complete-json", "--json", "--quiet")
    assert ran.code == 0, ran.err
    output = record_json.decode(ran.out).output
    lines = output.text.split("\n")
    assert output.parsed == [json.loads(line) for line in lines]
    assert all(list(one) == ["name", "age"] for one in output.parsed)


def test_whole_lines_of_a_cut_answer_are_kept(localprompt: Localprompt) -> None:
    schema = json.dumps(_object(n={"const": "x" * 30}))
    asked = ("ask", "Write it many times.", "--schema", schema, "--json-lines")
    ran = localprompt(*asked, *SHORT[:3], "--max-tokens", "5", "--json")
    output = record_json.decode(ran.out).output
    assert ran.code == 1
    assert output.parsed == []
    assert "line 1: the answer was cut short" in ran.err


def test_lines_need_a_schema(localprompt: Localprompt) -> None:
    ran = localprompt("ask", "hi", "--json-lines")
    assert ran.code == 2
    assert "nothing says what a line holds\n  where:    --json-lines" in ran.err


def test_a_schema_may_stand_in_a_file_beside_the_prompt(
    localprompt: Localprompt, work: Path
) -> None:
    (work / "age.json").write_text(json.dumps(_object(age={"enum": [41, 42]})))
    (work / "p.prompty").write_text(
        "---\nname: p\noutputs: file://age.json\n---\nuser:\nHow old?\n"
    )
    ran = localprompt("run", "p.prompty", *SHORT)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["age"] in {41, 42}


@pytest.mark.parametrize(
    "grammar", ['start: "yes" | "no"\n', 'root ::= answer\nanswer ::= "yes" | "no" # one\n']
)
def test_a_grammar_holds_the_answer(localprompt: Localprompt, work: Path, grammar: str) -> None:
    (work / "g.txt").write_text(grammar)
    ran = localprompt("ask", "Is water wet?", "--grammar", "g.txt", *SHORT)
    assert (ran.code, ran.out.strip() in {"yes", "no"}) == (0, True)


@pytest.mark.parametrize(
    ("grammar", "place"),
    [
        ('start: "a" b\n', "g.txt:1:8"),
        ('root ::= "a" (\n', "g.txt:2:1"),
        ("hello world", "g.txt:1:7"),
    ],
)
def test_a_file_that_is_no_grammar_is_refused_with_line_and_column(
    localprompt: Localprompt, work: Path, grammar: str, place: str
) -> None:
    (work / "g.txt").write_text(grammar)
    ran = localprompt("ask", "hi", "--grammar", "g.txt", *SHORT)
    assert ran.code == 2
    assert "error: not a grammar" in ran.err
    assert place in ran.err


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("nowhere.json", "no such file"),
        ('{"type": "object"', "not JSON"),
        ('{"a": 1}', "not a JSON Schema"),
        ("name, age whole", "not a type"),
        ("name, name", "'name' appears twice"),
        ("a b c", "not a schema"),
        ('{"type": "integer", "minimum": 3, "maximum": 2}', "nothing can satisfy the schema"),
        ('{"$ref": "https://example.org/x"}', "which is not in it"),
        ('{"type": "object", "properties": {"a": {"$ref": "/etc/passwd"}}}', "which is not in it"),
    ],
)
def test_what_is_no_schema_is_refused_before_a_model_is_opened(
    localprompt: Localprompt, schema: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "localprompt.engine.llama.engine.LlamaEngine.__init__",
        lambda *_, **__: pytest.fail("opened"),
    )
    ran = localprompt("ask", "hi", "--schema", schema, *SHORT)
    assert ran.code == 2
    assert message in ran.err


def test_bytes_that_are_no_text_are_no_schema(localprompt: Localprompt, work: Path) -> None:
    (work / "s.json").write_bytes(b'{"type": "object", "title": "\xff"}')
    ran = localprompt("ask", "hi", "--schema", "s.json", *SHORT)
    assert ran.code == 2
    assert "the schema cannot be read" in ran.err


def test_a_part_that_cannot_be_held_is_named_by_lint_and_run_and_refused_on_request(
    localprompt: Localprompt, work: Path
) -> None:
    (work / "p.prompty").write_text(
        "---\nname: p\noutputs:\n  type: object\n  properties:\n    tags:\n"
        "      type: array\n      uniqueItems: true\n      maxItems: 1\n"
        "      items: {enum: [a, b]}\n  required: [tags]\n---\nuser:\nTags?\n"
    )
    linted = localprompt("prompts", "lint", "p.prompty")
    assert linted.code == 0
    assert "checked-late: uniqueItems at properties.tags is checked when the" in linted.out
    assert ":6: " in linted.out
    ran = localprompt("run", "p.prompty", *SHORT)
    assert ran.code == 0
    assert "uniqueItems at properties.tags is checked when the answer is complete" in ran.err
    refused = localprompt("run", "p.prompty", *SHORT, "--strict-schema")
    assert refused.code == 2
    assert "uniqueItems cannot be enforced while the answer is written" in refused.err


def test_a_cut_answer_says_what_would_do_and_is_completed_on_request(
    localprompt: Localprompt,
) -> None:
    schema = json.dumps(_object(a={"type": "string", "minLength": 300}))
    cut = localprompt("ask", "hi", "--schema", schema, *SHORT[:3], "--max-tokens", "9")
    assert cut.code == 1
    assert "raise --max-tokens: " in cut.err
    whole = localprompt(
        "ask", "hi", "--schema", schema, *SHORT[:3], "--max-tokens", "9", "--complete-json"
    )
    assert whole.code == 0
    assert len(json.loads(whole.out)["a"]) >= 300
    assert "was added to close it" in whole.err
    nothing = localprompt("ask", "hi", *SHORT, "--complete-json")
    assert nothing.code == 2


def test_each_row_of_a_table_is_answered(localprompt: Localprompt, work: Path) -> None:
    (work / "p.prompty").write_text(
        "---\nname: p\ninputs: [{name: text, kind: string}]\n"
        "outputs: [{name: mood, kind: string, enumValues: [good, bad]}]\n---\nuser:\n{{ text }}\n"
    )
    (work / "rows.csv").write_text("id,text\n1,I love it\n2,I hate it\n3,So so\n")
    ran = localprompt("run", "p.prompty", "--each", "rows.csv", "--to", "out.csv", *SHORT[:3])
    assert ran.code == 0, ran.err
    rows = list(csv.reader((work / "out.csv").read_text().splitlines()))
    assert rows[0] == ["id", "text", "mood", "error"]
    assert [row[0] for row in rows[1:]] == ["1", "2", "3"]
    assert {row[2] for row in rows[1:]} <= {"good", "bad"}
    again = localprompt("run", "p.prompty", "--each", "rows.csv", "--to", "out.csv", *SHORT[:3])
    assert "3 of them before" in again.err


def test_free_text_imports_nothing_of_constraints(localprompt: Localprompt) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from localprompt.__main__ import run;"
        "code = run(['ask', 'Hi', '--threads', '1', '--no-log', '--max-tokens', '4', '-q']);"
        "print(code, 'llguidance' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False False"
