"""What is wrong with a prompt or its parameters is told before any model is opened: message,
place, what was expected, what was found, what to type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.cli.conftest import Localprompt
from tests.cli.program import write_prompt

HEAD = """---
name: it
inputs:
  who: {kind: string}
  times: {kind: integer, default: 1}
---
"""


@pytest.fixture(autouse=True)
def no_model_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("a model was opened")

    monkeypatch.setattr("localprompt.running.run.open_llama", refuse)


@pytest.fixture
def prompt(work: Path) -> Callable[[str], Path]:
    return lambda text: write_prompt(work, "it", text)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            [],
            {
                "error": "the prompt needs who",
                "where": "PROMPT",
                "expected": "who: string",
                "try": "-p who=… (or -p who=@FILE)",
            },
        ),
        (
            ["-p", "wo=Ada"],
            {
                "error": "the prompt has no parameter 'wo'",
                "where": "PROMPT",
                "expected": "one of: who",
                "try": "-p who=…",
            },
        ),
        (
            ["-p", "who=Ada", "-p", "times=two"],
            {
                "error": "the parameter 'times' has the wrong type",
                "where": "-p times",
                "expected": "a whole number",
                "found": "'two'",
            },
        ),
        (
            ["-p", "who"],
            {
                "error": "a parameter without a value",
                "expected": "-p NAME=VALUE",
                "found": "'who'",
            },
        ),
        (
            ["-p", "who=@nowhere.txt"],
            {"error": "no such file", "where": "-p who=@nowhere.txt"},
        ),
        (
            ["-p", "who=@binary.dat"],
            {
                "error": "the file is binary",
                "where": "-p who=@binary.dat",
                "expected": "UTF-8 text",
            },
        ),
        (
            ["-p", "who=@latin1.txt"],
            {
                "error": "the file is not UTF-8 text",
                "where": "-p who=@latin1.txt",
                "expected": "UTF-8",
                "found": "byte 0xe9 at offset 3",
            },
        ),
    ],
    ids=["missing", "unknown", "wrong kind", "no value", "no file", "binary", "not UTF-8"],
)
def test_a_wrong_parameter_is_told(
    arguments: list[str],
    told: dict[str, str],
    prompt: Callable[[str], Path],
    localprompt: Localprompt,
    work: Path,
) -> None:
    path = prompt(HEAD + "user:\nGreet {{ who }}.\n")
    (work / "binary.dat").write_bytes(bytes(range(256)))
    (work / "latin1.txt").write_bytes("café".encode("latin-1"))
    ran = localprompt("run", "it", *arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.fields() == {key: text.replace("PROMPT", str(path)) for key, text in told.items()}


@pytest.mark.parametrize(
    ("text", "line", "error"),
    [
        (HEAD + "user:\nHi {{ who }}\nand {{ whom }}.", 9, "the variable 'whom' is not defined"),
        ("---\nname: it\ninputs:\n  who: [\n---\nuser:\nHi", 4, "not valid YAML"),
        ("---\nname: it\n---\nuser:\nHi\n{% if x %}", 6, "the template cannot be read"),
        (
            "---\nname: it\n---\nuser:\n"
            "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
            5,
            "the template runs or grows without end",
        ),
        (
            "---\nname: it\n---\nuser:\n\n{{ 'x' * 10 ** 11 }}",
            6,
            "the template runs or grows without end",
        ),
    ],
    ids=["undefined", "YAML", "Jinja", "endless", "huge"],
)
def test_what_is_wrong_in_the_file_is_told_with_its_line(
    text: str, line: int, error: str, prompt: Callable[[str], Path], localprompt: Localprompt
) -> None:
    path = prompt(text)
    ran = localprompt("run", "it", *(["-p", "who=Ada"] if "who: {" in text else []))
    assert ran.code == 2
    assert ran.fields()["error"].startswith(error)
    assert ran.fields()["where"] == f"{path}:{line}"


def test_an_undefined_variable_comes_with_the_ways_out(
    prompt: Callable[[str], Path], localprompt: Localprompt
) -> None:
    prompt(HEAD + "user:\nHi {{ whom }}.")
    told = localprompt("run", "it", "-p", "who=Ada").fields()
    assert told["expected"] == "one of: who, times"
    assert "-p whom=…" in told["try"]
    assert "--lenient" in told["try"]


def test_an_unknown_prompt_brings_the_nearest_names(
    prompt: Callable[[str], Path], localprompt: Localprompt, work: Path
) -> None:
    write_prompt(work, "greeting", "user:\nHi")
    ran = localprompt("run", "greting")
    assert ran.code == 2
    assert ran.fields() == {
        "error": "there is no prompt 'greting'",
        "expected": "one of: greeting",
        "try": "localprompt prompts list",
    }


def test_a_path_to_no_prompt_is_told(localprompt: Localprompt, work: Path) -> None:
    missing = localprompt("run", "nowhere.prompty")
    assert (missing.code, missing.fields()["error"]) == (2, "no such prompt file")
    folder = localprompt("run", f"{work}/")
    assert (folder.code, folder.fields()["error"]) == (2, "this is a folder")


def test_a_chat_template_that_cannot_be_read_is_told(
    localprompt: Localprompt, prompt: Callable[[str], Path]
) -> None:
    prompt("user:\nHi")
    ran = localprompt("run", "it", "--chat-template", "nowhere.jinja")
    assert ran.code == 2
    assert ran.fields()["error"] == "no such file"
    assert ran.fields()["where"] == "--chat-template nowhere.jinja"
