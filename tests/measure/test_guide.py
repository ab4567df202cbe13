"""The guide names what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from localprompt.measure import warnings
from localprompt.records import Timing

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "measuring.md"


def test_the_guide_lists_every_warning_and_no_other() -> None:
    source = Path(warnings.__file__).read_text(encoding="utf-8")
    section = GUIDE.read_text(encoding="utf-8").partition("## Warnings")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(
        re.findall(r'code="(\w+)"', source)
    )


def test_the_guide_explains_every_figure_of_time() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert [name for name in Timing.__struct_fields__ if f"`{name}`" not in text] == []
