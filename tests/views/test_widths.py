"""Every view at the widths of a split window, a terminal and a wide one.

The files in ``golden/`` are what somebody saw and found good. After a change that is meant, write
them anew with ``python -m tests.views.test_widths`` and look at the difference.
"""

from __future__ import annotations

import io
import re
import unicodedata
from pathlib import Path

import pytest
from rich.cells import cell_len

import localprompt
from localprompt.views.grid import lines_of, middle_cut
from localprompt.views.sections import Column, text_table
from localprompt.views.terminal import Terminal
from tests.views.every_view import Draw, views

GOLDEN = Path(__file__).parent / "golden"
WIDTHS = (60, 80, 120)
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u2066\x00\x7f\r\u2028"
SHOWN_AS_IT_IS = ("models-show", "prompts-template", "prompts-tokens")
"""They end with a template or with tokens, whose lines are not ours to break."""
FORBIDDEN = set(HOSTILE) - set("]0;owned[2J31mgnp.exe")


def drawn(draw: Draw, width: int, *, colour: bool = False) -> str:
    stream = io.StringIO()
    draw(
        Terminal(
            file=stream,
            width=width,
            force_terminal=colour,
            color_system="standard" if colour else None,
        )
    )
    return stream.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", views())
def test_a_view_looks_as_it_was_found_good(name: str, width: int) -> None:
    golden = (GOLDEN / f"{name}-{width}.txt").read_text(encoding="utf-8")
    assert drawn(views()[name], width) == golden


@pytest.mark.parametrize("width", [48, *WIDTHS])
@pytest.mark.parametrize("name", views())
def test_no_line_of_a_table_is_too_wide_and_none_ends_in_blanks(name: str, width: int) -> None:
    for line in drawn(views()[name], width).splitlines():
        assert line == line.rstrip()
        a_word = max(map(cell_len, line.split()), default=0)
        assert cell_len(line) <= width or a_word > width - 20 or name in SHOWN_AS_IT_IS, line


@pytest.mark.parametrize("name", views())
def test_no_text_from_outside_commands_the_terminal(name: str) -> None:
    text = drawn(views(HOSTILE)[name], 80)
    assert not FORBIDDEN & set(text)
    assert "owned" in text or name in {"bench-plan", "evidence", "runs-list"}
    assert all(unicodedata.category(c) not in {"Cc", "Cs"} for c in text if c != "\n")


@pytest.mark.parametrize("name", views())
def test_colours_are_all_that_a_terminal_is_told(name: str) -> None:
    """With colours there are escape sequences, and only those that set a style."""
    text = drawn(views(HOSTILE)[name], 80, colour=True)
    for sequence in text.split("\x1b")[1:]:
        assert sequence[0] == "[", sequence[:20]
        assert sequence[1:].partition("m")[0].replace(";", "").isdigit(), sequence[:20]


def test_names_keep_both_ends_and_ids_are_never_cut() -> None:
    columns = (Column("id", whole=True), Column("model"), Column("n", numeric=True))
    rows = [("01M82JX2HESX5MKTF1BFH3V4R7", "qwen2.5-coder-0.5b-instruct-q4_k_m", "8")]
    lines = [line.text for line in lines_of(text_table("", columns, rows), 50)]
    assert lines[1].startswith("01M82JX2HESX5MKTF1BFH3V4R7  qwen2.")
    assert "…" in lines[1]
    assert lines[1].endswith("k_m  8") or lines[1].endswith("k_m 8")


def test_a_column_that_is_left_out_is_named() -> None:
    columns = (Column("name", whole=True), Column("a-long-heading", numeric=True, spare=1))
    lines = [line.text for line in lines_of(text_table("", columns, [("name", "1")]), 12)]
    assert lines == ["name", "name", "left out to save space: a-long-heading"]


def test_a_name_in_wide_letters_is_cut_by_cells() -> None:
    assert cell_len(middle_cut("日本語のとても長い名前です", 11)) <= 11
    assert middle_cut("smollm2-135m-instruct-q4_0", 12) == "smollm…-q4_0"


def test_nothing_is_written_to_a_terminal_by_another_way() -> None:
    """Each of these sends what it writes through ``harmless``, or writes words of our own."""
    ways = {
        "views/terminal.py", "views/messages.py", "views/progress.py", "views/doctor.py",
        "cli/answer.py", "__main__.py",
        "bundling/on_target.py", "compiling.py",  # run elsewhere, and say words of ours
    }  # fmt: skip
    writes = re.compile(
        r"^[^#\"'\n]*(?<![\w.])(?:print|Console)\(|sys\.stderr\.write", re.MULTILINE
    )
    package = Path(localprompt.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if writes.search(path.read_text(encoding="utf-8"))
    }
    assert found - ways == {"bundling/builds.py"}  # the text of a child's program


if __name__ == "__main__":
    for view, draw in views().items():
        for columns in WIDTHS:
            (GOLDEN / f"{view}-{columns}.txt").write_text(drawn(draw, columns), encoding="utf-8")
