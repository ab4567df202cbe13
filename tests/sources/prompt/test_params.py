"""``-p name=value`` becomes what the prompt declares, or an error that says what to type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localprompt.errors import ParameterError
from localprompt.records.prompt import InputSpec, PromptTemplate
from localprompt.sources.prompt.params import parse_params, stdin_input, typed_values

_TEMPLATE = PromptTemplate(
    name="p",
    body="{{ text }}",
    inputs=(
        InputSpec("text", required=True),
        InputSpec("n", "integer"),
        InputSpec("x", "float"),
        InputSpec("flag", "boolean"),
        InputSpec("rows", "array"),
        InputSpec("data", "object"),
        InputSpec("chat", "thread"),
        InputSpec("tone", enum_values=("plain", "kind")),
        InputSpec("level", "integer", enum_values=(1, 2)),
    ),
)


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("text=a=b", "a=b"),
        ("text=", ""),
        ("text= spaced ", " spaced "),
        ("text=@@ana", "@ana"),
        ("n=42", 42),
        ("n= -7 ", -7),
        ("x=1.5", 1.5),
        ("x=2", 2),
        ("x=1e3", 1000.0),
        ("flag=true", True),
        ("flag=No", False),
        ('rows=[1, "a"]', [1, "a"]),
        ('data={"a": 1}', {"a": 1}),
        ('chat=[{"role": "user", "content": "x"}]', [{"role": "user", "content": "x"}]),
        ("tone=kind", "kind"),
        ("level=2", 2),
    ],
)
def test_a_value_gets_the_kind_that_its_input_declares(assignment: str, value: Any) -> None:
    name = assignment.partition("=")[0]
    (got,) = parse_params([assignment], _TEMPLATE).values()
    assert (got, type(got), name in assignment) == (value, type(value), True)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("n=1.5", "a whole number"),
        ("n=many", "a whole number"),
        ("n=" + "9" * 5000, "a whole number"),
        ("x=many", "a number"),
        ("x=nan", "a number"),
        ("x=1e400", "a number"),
        ("x=1_000", "a number"),
        ("flag=perhaps", "true or false"),
        ("rows={}", "a JSON list"),
        ("rows=a,b", "a JSON list"),
        ("data=[]", "a JSON object"),
        ("data=" + "[" * 100_000, "a JSON object"),
        ("tone=kin", "one of: plain, kind"),
        ("level=3", "one of: 1, 2"),
    ],
)
def test_a_value_of_another_kind_is_refused(assignment: str, expected: str) -> None:
    with pytest.raises(ParameterError) as error:
        parse_params([assignment], _TEMPLATE)
    assert error.value.expected == expected
    assert error.value.where == f"-p {assignment.partition('=')[0]}"


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    with pytest.raises(ParameterError) as error:
        parse_params(["txt=a"], _TEMPLATE)
    assert error.value.message == "the prompt has no parameter 'txt'"
    assert error.value.expected == "one of: text"
    assert error.value.next_step == "-p text=…"


@pytest.mark.parametrize("assignment", ["text", "=a", ""])
def test_what_is_no_assignment_is_refused(assignment: str) -> None:
    with pytest.raises(ParameterError, match="a parameter without a value"):
        parse_params([assignment], _TEMPLATE)


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(ParameterError, match="twice"):
        parse_params(["text=a", "text=b"], _TEMPLATE)


def test_a_prompt_that_declares_nothing_takes_what_its_body_uses() -> None:
    template = PromptTemplate(name="p", body="{{ a }}{% for i in b %}{{ i }}{% endfor %}")
    assert parse_params(["a=1"], template) == {"a": "1"}
    with pytest.raises(ParameterError, match="no parameter 'i'"):
        parse_params(["i=1"], template)


def test_a_value_can_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"\xef\xbb\xbfOl\xc3\xa1\r\n@x\r\n")
    assert parse_params([f"text=@{path}"], _TEMPLATE) == {"text": "Olá\n@x\n"}
    path.write_text("[1, 2]")
    assert parse_params([f"rows=@{path}"], _TEMPLATE) == {"rows": [1, 2]}


def test_a_file_that_is_no_text_says_which_and_why(tmp_path: Path) -> None:
    files = {
        "binary": b"GGUF\0\0\0",
        "latin": "Olá".encode("latin-1"),
        "large": b"x" * ((4 << 20) + 1),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    for name, message in (
        ("binary", "binary"),
        ("latin", "not UTF-8"),
        ("large", "too large"),
        ("none", "no such file"),
        (".", "folder"),
    ):
        path = tmp_path / name
        with pytest.raises(ParameterError, match=message) as error:
            parse_params([f"text=@{path}"], _TEMPLATE)
        assert error.value.where == f"-p text=@{path}"


def test_stdin_is_for_the_one_required_string_that_is_left() -> None:
    assert parse_params(["n=1"], _TEMPLATE, stdin="from a pipe\n") == {
        "n": 1,
        "text": "from a pipe\n",
    }
    with pytest.raises(ParameterError, match="no parameter left"):
        parse_params(["text=a"], _TEMPLATE, stdin="x")


def test_stdin_without_one_place_to_go_is_refused() -> None:
    template = PromptTemplate(
        name="p", body="", inputs=(InputSpec("a", required=True), InputSpec("b", required=True))
    )
    with pytest.raises(ParameterError) as error:
        stdin_input(template, ())
    assert error.value.found == "a, b"
    assert stdin_input(template, ["a"]).name == "b"


def test_stdin_finds_the_one_variable_of_a_prompt_that_declares_nothing() -> None:
    assert stdin_input(PromptTemplate(name="p", body="{{ x }}"), ()).name == "x"


def test_a_row_of_a_dataset_is_typed_like_parameters() -> None:
    row = {"text": "a", "n": "3", "flag": "false", "rows": [1], "label": "good"}
    assert typed_values(row, _TEMPLATE) == {
        "text": "a",
        "n": 3,
        "flag": False,
        "rows": [1],
        "label": "good",
    }
    assert typed_values({"text": 3}, _TEMPLATE) == {"text": "3"}
    with pytest.raises(ParameterError, match="has the wrong type"):
        typed_values({"text": [3]}, _TEMPLATE)
    with pytest.raises(ParameterError, match="has the wrong type"):
        typed_values({"n": True}, _TEMPLATE)
