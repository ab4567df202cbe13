"""The guide names what the code does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import localprompt
from localprompt.records.run import Timing

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "measuring.md"
PACKAGE = Path(localprompt.__file__).parent


def warning_codes() -> Iterator[str]:
    """Every code that the package's sources give to a `RunWarning`, written there or named by a
    constant of the same module."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in ast.walk(tree):
            if (
                not isinstance(call, ast.Call)
                or getattr(call.func, "id", getattr(call.func, "attr", None)) != "RunWarning"
            ):
                continue
            named = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
            code = (named or call.args)[0]
            if isinstance(code, ast.Name):
                code = constants.get(code.id, code)
            if isinstance(code, ast.Constant):
                yield str(code.value)


def test_the_guide_lists_every_warning_and_no_other() -> None:
    section = GUIDE.read_text(encoding="utf-8").partition("## Warnings")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == set(warning_codes())


def test_the_guide_explains_every_figure_of_time() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert [name for name in Timing.__struct_fields__ if f"`{name}`" not in text] == []
