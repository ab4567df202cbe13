"""``--help`` of every command: panels, words for what is typed, and examples that are right.

Whoever adds a command learns from these tests' messages what its help still lacks.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from localprompt.cli.app import build_app
from localprompt.cli.help import (
    COMMON,
    DESTRUCTIVE_COMMANDS,
    PANELS,
    HelpCommand,
    HelpGroup,
    panel_of,
)
from tests.cli.conftest import Localprompt

ROOT = Path(__file__).resolve().parent.parent.parent
WIDTH = 80
WORD = re.compile(r"[A-Z0-9][A-Za-z0-9]*|\[ID\]|none|all")


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*path, name))


TREE = typer.main.get_command(build_app())
COMMANDS = dict(_commands(TREE))
EXAMPLES = [
    (" ".join(path) or "localprompt", line)
    for path, command in COMMANDS.items()
    for line in (command.epilog or "").splitlines()
]


def _help(path: tuple[str, ...]) -> str:
    context = COMMANDS[path].make_context(
        "localprompt", [], resilient_parsing=True, terminal_width=WIDTH
    )
    return str(COMMANDS[path].get_help(context))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_help_has_three_examples_that_fit(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert isinstance(command, HelpCommand | HelpGroup), (
        "declare the group's app with cli.help.Commands(), and its commands with "
        '@app.command("name", examples=(…, …, …))'
    )
    examples = (command.epilog or "").splitlines()
    assert len(examples) == 3, (
        "EXAMPLES = (…, …, …) in the module of a command or a group; examples=(…) where a "
        "group's command is declared"
    )
    assert len(set(examples)) == 3
    assert [line for line in examples if len(line) > WIDTH - 2] == []
    assert _help(path).rstrip().endswith(examples[-1])


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_help_has_its_panels_in_one_order(path: tuple[str, ...]) -> None:
    headings = re.findall(r"^([A-Z][A-Za-z]+):$", _help(path), re.MULTILINE)
    known = ["Arguments", "Options", COMMON, *PANELS, "Commands", "Examples"]
    assert headings == [name for name in known if name in headings]
    options = [p for p in COMMANDS[path].params if p.param_type_name == "option"]
    for option in options:
        assert option.rich_help_panel is None, "the panel follows from the name: cli.help.PANELS"
    if len({panel_of(option) for option in options} | {COMMON}) > 1:
        assert COMMON in headings


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_help_says_in_words_what_is_typed(path: tuple[str, ...]) -> None:
    assert not re.search(r"<\w+( range)?>|\bx<?[<>]=", _help(path))
    for param in COMMANDS[path].params:
        assert param.help, f"{param.name} needs a line of help"
        if not getattr(param, "is_flag", False):
            assert param.metavar, f"{param.name} needs a metavar: N, TOKENS, NAME, …"
            words = re.split(r"[|=,…/@:.\[\]]+| ", param.metavar)
            assert [word for word in words if word and not WORD.fullmatch(word)] == []


@pytest.mark.parametrize(("of", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_every_example_is_a_command_line_of_today(of: str, line: str) -> None:
    for words in _parts(line):
        if words[0] != "localprompt":
            assert words[0] in {"head", "grep"}
            continue
        assert of == "localprompt" or "&&" in line or " ".join(words[1:]).startswith(of)
        _parse(words[1:])
        files = [word for word in words if word.startswith("benchmarks/")]
        assert [name for name in files if not (ROOT / name).is_file()] == []


def _parts(line: str) -> Iterator[list[str]]:
    """The commands of a shell's line, without variables and files for stdin and stdout."""
    read = shlex.shlex(line, posix=True, punctuation_chars="<>|&")
    read.whitespace_split = True
    part: list[str] = []
    for word in read:
        if word in {"&&", "|"}:
            yield part
            part = []
        elif word in {"<", ">"}:
            next(read)
        elif not re.match(r"[A-Z_]+=", word):
            part.append(word)
    yield part


def _parse(words: list[str]) -> None:
    """Fails where a command or an option does not exist, or an argument is missing."""
    command: Any = TREE
    while isinstance(command, HelpGroup):
        command = command.commands[words.pop(0)]
    with command.make_context("localprompt", words):
        pass


@pytest.mark.parametrize(
    ("words", "not_offered"),
    [(("models", "remov"), "remove"), (("runs", "prun"), "prune")],
)
def test_nothing_destructive_is_offered_for_a_typo(
    words: tuple[str, ...], not_offered: str, localprompt: Localprompt
) -> None:
    assert not_offered in DESTRUCTIVE_COMMANDS
    ran = localprompt(*words)
    assert ran.code == 2
    assert f"'{not_offered}'" not in ran.err
    assert f"localprompt {words[0]} --help" in ran.err


def test_an_option_that_overwrites_is_not_offered_for_a_typo(localprompt: Localprompt) -> None:
    ran = localprompt("prompts", "new", "x", "--forse")
    assert ran.code == 2
    assert "--force" not in ran.err
    assert "--quiet" in localprompt("ask", "Hi", "--quite").err


def test_options_with_a_short_name_come_first() -> None:
    common = _help(("eval",)).partition("Common:\n")[2]
    assert common.lstrip().startswith("-m, --model")
    assert common.index("--help") < common.index("Sampling:")


def test_a_range_is_said_in_words() -> None:
    text = _help(("ask",))
    assert re.search(r"--top-p NUMBER +1 turns it off\.  \[0 to 1\]", text)
    assert "2147483647" not in text
