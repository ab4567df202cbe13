"""What there is to show, described once: sections of blocks, drawn by three modules.

A bench, an evaluation, an estimate becomes a tuple of :class:`Section`, each a tuple of blocks:
facts, notices, a table, a chart. Each of

    views.terminal    text in the width that there is
    views.markdown    a piece of a Markdown file
    views.html        a page that is complete in itself, or a part of the local page

draws every block, so what they tell is the same by construction. Two things are for pages alone:
charts, whose figures stand in tables as well, and the details of rows, which are folded there.

Blocks are plain records. A new kind of section needs no change here; a new kind of block is a
record with the name of its template, and a line in the other two modules.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

import msgspec

from localprompt.views.charts import Bar, Panel, Point, Scale

Label = Literal["", "bare", "titled", "group"]


class Block(msgspec.Struct, frozen=True):
    """Something that a section shows."""

    template: ClassVar[str]
    """Its file in ``page/``."""
    assets: ClassVar[tuple[str, ...]] = ()
    """Style sheets and scripts in ``page/`` that only pages with such a block need."""


class Section(msgspec.Struct, frozen=True):
    id: str
    """Unique on the page; letters, digits and hyphens."""
    title: str
    """"" in text: what stands above says it already."""
    blocks: tuple[Block, ...]


class Fact(msgspec.Struct, frozen=True):
    name: str
    value: str
    note: str = ""


class Facts(Block, frozen=True):
    """Names and values; ``prominent`` ones are what the page wants to say first."""

    template: ClassVar[str] = "facts.html"
    items: tuple[Fact, ...]
    prominent: bool = False


class Notice(msgspec.Struct, frozen=True):
    level: str
    """``warning``, ``failed``, ``refused``, ``note``: shown as a word."""
    text: str
    where: str = ""
    """The cell that it is about."""
    advice: str = ""


class Notices(Block, frozen=True):
    template: ClassVar[str] = "notices.html"
    items: tuple[Notice, ...]


class Lines(Block, frozen=True):
    """Sentences that belong to what stands above them."""

    template: ClassVar[str] = "lines.html"
    items: tuple[str, ...]
    quiet: bool = True
    """How to read the figures, as opposed to what they say."""


class Column(msgspec.Struct, frozen=True):
    """A column of a table, and what may be done to it where there is little room."""

    title: str
    numeric: bool = False
    label: Label = ""
    """It names the row. Labels share one column in a narrow table, a line each: ``bare``
    ones as they are, ``titled`` ones behind their title. A ``group`` becomes a heading above
    its rows."""
    below: bool = False
    """In a narrow table it stands below the figure of the column before it."""
    prose: bool = False
    """Words that may go over several lines."""
    whole: bool = False
    """It is typed again, as an id is: never shortened."""
    unit: str = ""
    """Of every figure; it moves into the heading of a narrow table."""
    ours: bool = False
    """Its values are words of ours, as verdicts are, and not data: they are translated."""
    spare: int = 0
    """Above 0: it may be left out of a narrow table, which then says so; the largest first."""


class Value(msgspec.Struct, frozen=True):
    """A field of a table: what is read, and what it sorts by."""

    text: str
    order: float | str | None = None
    """None: unknown, last in either direction."""


class Row(msgspec.Struct, frozen=True):
    name: str
    """What the row is about, for people who do not see the table."""
    values: tuple[Value, ...]
    facts: tuple[Fact, ...] = ()
    """Details, folded away at first."""
    texts: tuple[tuple[str, str], ...] = ()
    """Longer details with their headings, shown as they are: prompts, answers."""
    emphasis: Literal["", "strong", "weak"] = ""
    """``strong``: what was chosen; ``weak``: what was given up."""


class Table(Block, frozen=True):
    template: ClassVar[str] = "table.html"
    caption: str
    columns: tuple[Column, ...]
    """The first names the row."""
    rows: tuple[Row, ...]
    about: str = ""
    """What a row is, as the heading of the column that several labels share."""
    title: str = ""
    """What this table is of, where a section has several."""


class Texts(Block, frozen=True):
    """Texts with their headings, shown as they are: prompts, answers."""

    template: ClassVar[str] = "texts.html"
    items: tuple[tuple[str, str], ...]


class Paragraph(msgspec.Struct, frozen=True):
    text: str
    lead: str = ""


class Prose(Block, frozen=True):
    """Paragraphs."""

    template: ClassVar[str] = "prose.html"
    assets: ClassVar[tuple[str, ...]] = ("prose.css",)
    paragraphs: tuple[Paragraph, ...]
    folded: str = ""
    """On a page it is folded away behind these words; "" shows it."""


class BarChart(Block, frozen=True):
    template: ClassVar[str] = "bars.html"
    title: str
    caption: str
    bars: tuple[Bar, ...]
    axis: Scale
    legend: tuple[str, ...] = ()
    """Names of the series, in the palette's order."""
    mark_legend: str = ""


class PanelChart(Block, frozen=True):
    template: ClassVar[str] = "panels.html"
    title: str
    caption: str
    panels: tuple[Panel, ...]
    unit: str
    x_title: str


class ScatterChart(Block, frozen=True):
    template: ClassVar[str] = "scatter.html"
    title: str
    caption: str
    points: tuple[Point, ...]
    x_axis: Scale
    y_axis: Scale


def plain_row(*texts: str, emphasis: Literal["", "strong", "weak"] = "") -> Row:
    """A row that sorts by what it says."""
    values = tuple(Value(text, text or None) for text in texts)
    return Row(texts[0], values, emphasis=emphasis)


def text_table(
    caption: str,
    columns: tuple[Column, ...],
    rows: Iterable[tuple[str, ...]],
    about: str = "",
    title: str = "",
) -> Table:
    """A table of texts alone."""
    return Table(caption, columns, tuple(plain_row(*row) for row in rows), about, title)
