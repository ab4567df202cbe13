"""Reading prompt files: what is in them, and how what is wrong is told."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.errors import PromptFileError
from localprompt.records.prompt import InputSpec
from localprompt.rendering.prompt import render_messages
from localprompt.sources.prompt.document import load_document
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.prompt.front_matter import split_front_matter

_FULL = """---
name: classify
description: Which mood?
model:
  id: smollm2-135m
  options:
    temperature: 0
    maxOutputTokens: 4
    additionalProperties:
      minP: 0.1
inputs:
  - name: text
    kind: string
    description: a review
    required: true
    strict: true
  - name: tone
    kind: string
    enumValues: [plain, kind]
    default: plain
  - name: note
    kind: string
    required: false
metadata:
  authors: [ana]
  localprompt:
    cases: cases.jsonl
    choices: [yes, no, 3, true]
---

system:
Be {{ tone }}.

user:
{{ text }}
"""


def _write(folder: Path, text: str, name: str = "p.prompty") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def _front(folder: Path, front: str) -> Path:
    return _write(folder, f"---\n{front}\n---\nuser:\nHi")


_WORDS = "metadata:\n  localprompt:\n    choices: [a, b]\n    label_words: "
_LIST_OF = "outputs:\n  - name: u\n    kind: array\n    items: "


def test_a_full_file_becomes_a_record(tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_text("")
    path = _write(tmp_path, _FULL)
    prompt = load_prompt(path)
    assert (prompt.name, prompt.description) == ("classify", "Which mood?")
    assert prompt.model_id == "smollm2-135m"
    assert prompt.options == {"temperature": 0, "maxOutputTokens": 4, "minP": 0.1}
    assert prompt.inputs == (
        InputSpec("text", "string", "a review", required=True, insisted=True, strict=True),
        InputSpec("tone", default="plain", enum_values=("plain", "kind")),
        InputSpec("note"),
    )
    assert prompt.choices == ("yes", "no", "3", "true")
    assert prompt.cases == str(tmp_path / "cases.jsonl")
    assert prompt.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert prompt.body.startswith("system:\nBe")
    assert prompt.body_line == _FULL.splitlines().index("system:") + 1
    assert prompt.metadata["authors"] == ["ana"]


def test_a_file_without_front_matter_is_all_body(tmp_path: Path) -> None:
    prompt = load_prompt(_write(tmp_path, "user:\nHello: {{ x }}\n---\nmore", "hello.prompty"))
    assert (prompt.name, prompt.body_line, prompt.inputs) == ("hello", 1, ())
    assert prompt.body == "user:\nHello: {{ x }}\n---\nmore"


@pytest.mark.parametrize(
    ("text", "yaml", "body", "line"),
    [
        ("---\nname: a\n---\nBody", "name: a", "Body", 4),
        ("  ---\nname: a\n---\nBody", "name: a", "Body", 4),
        ("---\n---\nBody", "", "Body", 3),
        ("+++\nname: a\n+++\n\n\n  Body\n", "name: a", "Body\n", 6),
        ("\n\n---\nname: a\n---\nBody", "name: a", "Body", 6),
        ("---\nd: a --- b\n---\nBody", "d: a --- b", "Body", 4),
        ("--- name: a --- Body", " name: a ", "Body", 1),
        ("---\nname: a\n---\n", "name: a", "", 4),
        ("---\nname: a\n--- \nA\n---\nB", "name: a", "A\n---\nB", 4),
    ],
)
def test_the_front_matter_is_cut_off_at_its_fences(
    text: str, yaml: str, body: str, line: int
) -> None:
    matter = split_front_matter(text, "f")
    assert (matter.yaml, matter.body, matter.body_line) == (yaml, body, line)


@given(st.text(alphabet="-+ \nab:", max_size=40))
def test_the_body_stands_where_it_is_said_to(text: str) -> None:
    try:
        matter = split_front_matter(text, "f")
    except PromptFileError:
        return
    assert text.endswith(matter.body)
    if matter.body:
        above = text[: len(text) - len(matter.body)]
        assert above.count("\n") + 1 == matter.body_line


def test_windows_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "w.prompty"
    path.write_bytes(b"\xef\xbb\xbf" + _FULL.replace("\n", "\r\n").encode())
    (tmp_path / "cases.jsonl").write_text("")
    prompt = load_prompt(path)
    assert prompt.body == load_prompt(_write(tmp_path, _FULL)).body
    assert prompt.body_line == _FULL.splitlines().index("system:") + 1


def test_words_and_dates_stay_what_they_are_written_as(tmp_path: Path) -> None:
    document = load_document(
        _front(tmp_path, "metadata: {a: [yes, off, No], d: 2024-01-01, t: true, n: null}")
    )
    assert document["metadata"] == {
        "a": ["yes", "off", "No"],
        "d": "2024-01-01",
        "t": True,
        "n": None,
    }


@pytest.mark.parametrize(
    ("front", "line", "message"),
    [
        ("name: a\n  b: c", 3, "not valid YAML"),
        ("name: [a", 2, "not valid YAML"),
        ("name: a\nname: b", 3, "twice"),
        ("- a\n- b", 2, "not a mapping"),
        ("just text", 2, "not a mapping"),
        ("model:\n  options:\n    topK: many", 4, "topK has the wrong type"),
        ("inputs:\n  - name: a\n    kind: string\n    required: 3", 5, "required has the wrong"),
        ("inputs:\n  - kind: string", 3, "no name"),
        ("inputs: words", 2, "not a list of properties"),
        ("metadata:\n  localprompt:\n    choices: a", 4, "choices has the wrong type"),
        ("name: [1]", 2, "name has the wrong type"),
        (f"{_WORDS}[yes]", 5, "label_words has the wrong type"),
        (f"{_WORDS}{{a: [yes]}}", 5, "has the wrong type"),
        ("sample: {a: x}\ninputs:\n  - name: [a]", 4, "no name"),
        ("model:\n  connection: {type: [a]}\n  id: [x]", 4, "id has the wrong type"),
        ("outputs:\n  - {name: u, kind: union}", 3, "a union needs its branches"),
        ("outputs:\n  - {name: u, kind: union, oneOf: 5}", 3, "oneOf has the wrong type"),
        (f"{_LIST_OF}{{kind: [a]}}", 5, "kind has the wrong type"),
        (f"{_LIST_OF}{{kind: string, enumValues: 5}}", 5, "enumValues has the wrong type"),
        ("metadata:\n  localprompt:\n    cases: none.csv", 4, "no such file of cases"),
        ("metadata:\n  localprompt:\n    cases: ../c.csv", 4, "outside allowed roots"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: !!python/object:os.system x", 4, "tag !!python"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    front: str, line: int, message: str, tmp_path: Path
) -> None:
    path = _front(tmp_path, front)
    with pytest.raises(PromptFileError, match=message) as error:
        load_prompt(path)
    where = error.value.where or ""
    assert where.split(" ")[0] in (f"{path}:{line}", f"{path}:{line + 1}")


def test_the_key_is_named_with_what_was_expected_and_found(tmp_path: Path) -> None:
    path = _front(tmp_path, "model:\n  options:\n    topK: many")
    with pytest.raises(PromptFileError) as error:
        load_prompt(path)
    assert error.value.where == f"{path}:4 (model.options.topK)"
    assert (error.value.expected, error.value.found) == ("a whole number", "text")


def test_aliases_that_stand_for_too_much_are_refused(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(PromptFileError, match="aliases"):
        load_prompt(_front(tmp_path, "\n".join(rows)))


def test_front_matter_that_is_not_closed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PromptFileError, match="not closed"):
        load_prompt(_write(tmp_path, "---\nname: a\nuser:\nHi"))


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    (tmp_path / "folder.prompty").mkdir()
    latin = tmp_path / "latin.prompty"
    latin.write_bytes("user:\nOlá".encode("latin-1"))
    large = tmp_path / "large.prompty"
    large.write_bytes(b"x" * (2 << 20))
    for path, message in (
        (tmp_path / "none.prompty", "no such prompt file"),
        (tmp_path / "folder.prompty", "folder"),
        (latin, "not UTF-8"),
        (large, "too large"),
    ):
        with pytest.raises(PromptFileError, match=message):
            load_prompt(path)
    with pytest.raises(PromptFileError) as error:
        load_prompt(latin)
    assert error.value.where == f"{latin}:2"
    assert error.value.found == "byte 0xe1 at offset 8"


@pytest.mark.parametrize(
    ("inputs", "kind", "default"),
    [
        ("{x: Jane}", "string", "Jane"),
        ("{x: 42}", "integer", 42),
        ("{x: 3.5}", "float", 3.5),
        ("{x: true}", "boolean", True),
        ("{x: [1, 2]}", "array", [1, 2]),
        ("{x: {a: 1}}", "object", {"a": 1}),
        ("{x: {kind: string, default: y}}", "string", "y"),
        ("{x: {description: what}}", "string", None),
        ("{x: }", "string", None),
    ],
)
def test_inputs_may_be_written_short(inputs: str, kind: str, default: Any, tmp_path: Path) -> None:
    (spec,) = load_prompt(_front(tmp_path, f"inputs: {inputs}")).inputs
    assert (spec.name, spec.kind, spec.default) == ("x", kind, default)


def test_a_model_may_be_a_word_and_a_template_left_out(tmp_path: Path) -> None:
    document = load_document(_front(tmp_path, "model: gpt-4"))
    assert document["model"] == {"id": "gpt-4"}
    assert document["template"] == {"format": {"kind": "jinja2"}, "parser": {"kind": "prompty"}}


def test_references_to_variables_and_files_are_resolved_everywhere(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "model.json").write_text('{"id": "${env:MODEL}"}')
    (tmp_path / "text.txt").write_text("some text")
    (tmp_path / "list.yaml").write_text("- a\n- b")
    path = _front(
        tmp_path,
        "model: ${file:shared/model.json}\n"
        "metadata: {deep: [{x: '${env:MISSING:a:b}', y: '${file:text.txt}'}], z: '${other:1}',"
        " l: '${FILE:list.yaml}', part: 'a ${env:MODEL}'}",
    )
    document = load_document(path, env={"MODEL": "m"})
    assert document["model"] == {"id": "m"}
    assert document["metadata"] == {
        "deep": [{"x": "a:b", "y": "some text"}],
        "z": "${other:1}",
        "l": ["a", "b"],
        "part": "a ${env:MODEL}",
    }


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("${env:NOT_SET}", "environment variable 'NOT_SET' is not set"),
        ("${file:none.txt}", "no file 'none.txt'"),
        ("${file:../secret.json}", "outside allowed roots"),
        ("${file:/etc/passwd}", "outside allowed roots"),
        ("${file:link/secret.json}", "outside allowed roots"),
        ("${file:bad.json}", "cannot be read"),
        ("${file:binary.txt}", "cannot be read"),
        ("${file:self.json}", "lead back to themselves"),
    ],
)
def test_a_reference_that_cannot_be_followed_says_why(
    reference: str, message: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret.json").write_text("{}")
    (home / "link").symlink_to(tmp_path)
    (home / "bad.json").write_text("{")
    (home / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (home / "self.json").write_text('{"a": "${file:self.json}"}')
    path = _front(home, f"metadata:\n  x: {reference}")
    with pytest.raises(PromptFileError, match=message) as error:
        load_prompt(path, env={})
    # A circle is noticed at some depth below the key where it was entered.
    assert str(error.value.where).startswith(f"{path}:3 (metadata.x")
    assert str(error.value.where).endswith(".a)" if "self" in reference else "metadata.x)")


def test_a_hosted_services_key_is_not_needed_to_run_its_prompt_here(tmp_path: Path) -> None:
    path = _front(tmp_path, "model: {id: x, connection: {kind: key, apiKey: '${env:NO_KEY}'}}")
    assert load_prompt(path, env={}).model_id == "x"
    with pytest.raises(PromptFileError, match="NO_KEY"):
        load_document(path, env={})


@pytest.mark.parametrize(
    ("front", "what"),
    [
        ("tools: [{name: t, kind: function}]", "tools"),
        ("tools: {t: function}", "tools"),
        ("template: {format: {kind: mustache}}", "mustache"),
        ("template: {format: {kind: jinja2}, parser: {kind: other}}", "parser other"),
        ("model: {id: x, apiType: image}", "API image"),
        ("inputs: [{name: photo, kind: image}]", "image input 'photo'"),
    ],
)
def test_what_is_not_done_is_read_and_refused_when_rendered(
    front: str, what: str, tmp_path: Path
) -> None:
    prompt = load_prompt(_front(tmp_path, front))
    with pytest.raises(PromptFileError, match=what):
        render_messages(prompt, {"photo": "x"})


def test_a_format_that_is_strict_makes_every_input_strict(tmp_path: Path) -> None:
    prompt = load_prompt(
        _front(
            tmp_path,
            "template: {format: {kind: jinja2, strict: true}}\n"
            "inputs: {a: x, b: {kind: string, strict: false}}",
        )
    )
    assert [spec.strict for spec in prompt.inputs] == [True, False]


def test_outputs_become_a_closed_schema(tmp_path: Path) -> None:
    front = """outputs:
  - {name: city, kind: string, description: where}
  - {name: mood, kind: string, enumValues: [good, bad]}
  - {name: score, kind: float, nullable: true}
  - {name: note, kind: string, required: false}
  - {name: tags, kind: array, items: {kind: string}}
  - name: who
    kind: object
    properties: [{name: age, kind: integer}]
  - {name: any, kind: union, oneOf: [{kind: string}, {kind: integer}], nullable: true}
  - {name: free, kind: something}"""
    assert load_prompt(_front(tmp_path, front)).output_schema == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "where"},
            "mood": {"type": "string", "enum": ["good", "bad"]},
            "score": {"type": ["number", "null"]},
            "note": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "who": {
                "type": "object",
                "properties": {"age": {"type": "integer"}},
                "required": ["age"],
                "additionalProperties": False,
            },
            "any": {"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
            "free": {},
        },
        "required": ["city", "mood", "score", "tags", "who", "any", "free"],
        "additionalProperties": False,
    }


def test_outputs_may_be_a_json_schema(tmp_path: Path) -> None:
    front = "outputs: {type: object, properties: {a: {type: string}}, required: [a]}"
    assert load_prompt(_front(tmp_path, front)).output_schema == {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
    }
    assert load_prompt(_front(tmp_path, "name: x")).output_schema is None


def test_the_first_versions_words_are_read(tmp_path: Path) -> None:
    prompt = load_prompt(_front(tmp_path, _V1), env={})
    assert prompt.options == {
        "maxOutputTokens": 500,
        "topP": 0.9,
        "stopSequences": ["###"],
        "temperature": 0.7,
    }
    assert [(spec.name, spec.kind, spec.default) for spec in prompt.inputs] == [
        ("name", "string", "World"),
        ("question", "string", "Why?"),
        ("tags", "array", None),
    ]
    assert prompt.metadata == {"authors": ["ana"], "tags": ["a"]}
    assert prompt.unsupported == ()


def test_the_strict_loader_does_not_take_the_first_versions_template(tmp_path: Path) -> None:
    path = _front(tmp_path, "template: jinja2")
    with pytest.raises(PromptFileError, match="as in v1"):
        load_document(path)
    assert load_prompt(path).unsupported == ()


_V1 = """name: old
authors: [ana]
tags: [a]
model:
  api: chat
  configuration:
    type: azure_openai
    azure_endpoint: ${env:ENDPOINT}
  parameters:
    max_tokens: 500
    top_p: 0.9
    stop: "###"
    temperature: 0.7
inputs:
  name:
    type: string
    sample: World
  question:
    type: string
  tags:
    type: list
    is_required: false
sample:
  question: Why?
template: jinja2"""
