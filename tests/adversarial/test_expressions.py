"""Every regular expression of the package stays linear: one that backtracks hangs on long texts."""

from __future__ import annotations

import ast
import multiprocessing
import re
from collections.abc import Iterator
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import localprompt

_ROOT = Path(localprompt.__file__).parent
_CHARACTERS = 200_000
"""Of which a square takes minutes."""
_MOST_SECONDS = 10.0
_METHODS = ("fullmatch", "match", "search", "finditer", "findall", "sub", "split")
_BOUNDED = {
    "localprompt.records.condition._CONDITION": "texts of at most 500 characters",
    "localprompt.bundling.licences._LICENCE_FILE": "names of at most 1,000 characters",
    "localprompt.compiling._SOURCE": "command lines of our own build",
}
"""Expressions whose callers cut what they see."""
_OURS = frozenset({"localprompt.compiling", "localprompt.bundling.builds"})
"""Modules whose expressions in place read what our own build and its tools print."""

Expression = tuple[str, re.Pattern[str], frozenset[str]]
"""Where it stands, and how it is used."""


def _expressions() -> Iterator[Expression]:
    """Every ``NAME = re.compile(…)`` at the top of a module, and every ``re.search("…", …)``."""
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(_ROOT.rglob("*.py"))}
    for path, source in sources.items():
        yield from _inline(path, source)
        names = [
            target.id
            for node in ast.parse(source).body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name) and "re.compile" in ast.unparse(node.value)
        ]
        module = ".".join(path.relative_to(_ROOT.parent).with_suffix("").parts)
        for name in names:
            public = not name.startswith("_")
            where = sources.values() if public else (source,)
            used = frozenset(m for m in _METHODS if any(f"{name}.{m}(" in text for text in where))
            value = getattr(import_module(module.removesuffix(".__init__")), name)
            for number, pattern in enumerate(_patterns(value)):
                label = f"{module}.{name}" + (f"[{number}]" if number else "")
                if label not in _BOUNDED:
                    yield label, pattern, used or frozenset({"search"})


def _inline(path: Path, source: str) -> Iterator[Expression]:
    """The expressions that are written where they are used."""
    if "re." not in source:
        return
    tree = ast.parse(source)
    named_here = {id(n.value) for n in tree.body if isinstance(n, ast.Assign | ast.AnnAssign)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if id(node) in named_here:
            continue  # how it is used is known there
        of, method = node.func.value, node.func.attr
        literal = node.args[0] if node.args else None
        if not isinstance(of, ast.Name) or of.id != "re" or method not in (*_METHODS, "compile"):
            continue
        if not isinstance(literal, ast.Constant) or not isinstance(literal.value, str):
            continue
        named = [k.value for k in node.keywords if k.arg == "flags"]
        at = {"compile": 1, "sub": 4, "split": 3}.get(method, 2)
        flags = named or node.args[at : at + 1]
        bits = eval(ast.unparse(flags[0]), {"re": re}) if flags else 0
        used = frozenset({"search" if method == "compile" else method})
        label = f"{'.'.join(path.relative_to(_ROOT.parent).with_suffix('').parts)}:{node.lineno}"
        if label.rpartition(":")[0] not in _OURS:
            yield label, re.compile(literal.value, bits), used


def _patterns(value: object) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        if isinstance(value.pattern, str):
            yield value
    elif isinstance(value, dict):
        yield from _patterns(list(value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _patterns(item)


def _texts(pattern: str) -> Iterator[str]:
    """What an expression might try in many ways: pieces over and over, and a spoiled end."""
    literal = re.sub(r"\\[a-zA-Z]|[^\w\s:/.\"'{}%#<>=,-]", "", pattern)[:40] or "a"
    for piece in ("a", " ", "\n", "0", '"', "{{", "a: ", "-", literal, f"{literal}\n"):
        yield (piece * (_CHARACTERS // len(piece) + 1))[: _CHARACTERS - 1] + "\x00"


def _try(pattern: re.Pattern[str], methods: frozenset[str], told: Connection) -> None:
    for text in _texts(pattern.pattern):
        for method in methods:
            if method in {"finditer", "findall", "sub", "split"}:
                # At most a few finds: a million of them would measure Python.
                for _, found in zip(range(3), pattern.finditer(text), strict=False):
                    found.group()
            else:
                getattr(pattern, method)(text)
            told.send(f"after {text[:20]!r}")
    told.send("")


@pytest.mark.slow
def test_no_expression_takes_more_than_linear_time() -> None:
    expressions = list(_expressions())
    assert len(expressions) > 50
    context = multiprocessing.get_context("fork")
    slow = []
    for name, pattern, methods in expressions:
        heard, told = context.Pipe(duplex=False)
        process = context.Process(target=_try, args=(pattern, methods, told))
        process.start()
        told.close()
        step = "at the start"
        while step:
            if not heard.poll(_MOST_SECONDS):
                slow.append(f"{name} ({step})")
                break
            step = heard.recv()
        process.kill()
        process.join()
        heard.close()
    assert not slow
