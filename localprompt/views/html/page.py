"""One self-contained HTML file, made of sections that are made of blocks.

Views describe *what* a page shows: a tuple of :class:`Section`, each a tuple of blocks (facts,
notices, a table, a chart). How a block looks is its template in ``page/``. A new kind of section
needs no change here; a new kind of block is a record with the name of its template.

What makes the file safe and portable:

* Everything is text to Jinja2, which escapes it; no view builds HTML. Answers come from a model.
* A Content-Security-Policy allows this file's own style sheet and script, by their digests, and
  nothing else: should any escaping ever fail, the browser still neither runs nor loads a thing.
  (Hence no ``style`` attributes anywhere; positions are SVG attributes.)
* It has no links to fetch, and reads completely without its script, which adds sorting, filters
  and the switch between dark and light.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, ClassVar

import msgspec

from localprompt import __version__
from localprompt.records.json import well_formed
from localprompt.views.html.charts import Bar, Panel, Point, Scale

if TYPE_CHECKING:
    import jinja2


class Block(msgspec.Struct, frozen=True):
    """Something that a section shows."""

    template: ClassVar[str]
    """Its file in ``page/``."""
    assets: ClassVar[tuple[str, ...]] = ()
    """Style sheets and scripts in ``page/`` that only pages with such a block need."""


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
    """``warning``, ``failed``, ``refused``: shown as a word."""
    text: str
    where: str = ""
    """The cell that it is about."""
    advice: str = ""


class Notices(Block, frozen=True):
    template: ClassVar[str] = "notices.html"
    items: tuple[Notice, ...]


class Column(msgspec.Struct, frozen=True):
    title: str
    numeric: bool = False


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


class Table(Block, frozen=True):
    template: ClassVar[str] = "table.html"
    caption: str
    columns: tuple[Column, ...]
    """The first names the row."""
    rows: tuple[Row, ...]


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


class PageWords(msgspec.Struct, frozen=True):
    """What the page itself says, around its sections."""

    language: str = "en"
    """As HTML has it: ``en``, ``pt-BR``."""
    skip: str = "Skip to the content"
    sections: str = "Sections"
    dark: str = "Dark colours"
    light: str = "Light colours"
    scrollable: str = "scrollable"
    details: str = "Details"
    details_of: str = "of"
    made_by: str = "Made by"
    footer: str = "This file is complete in itself: it loads nothing and sends nothing."


ENGLISH = PageWords()


class Section(msgspec.Struct, frozen=True):
    id: str
    """Unique on the page; letters, digits and hyphens."""
    title: str
    blocks: tuple[Block, ...]


def render_page(
    title: str, subtitle: str, sections: Sequence[Section], words: PageWords = ENGLISH
) -> str:
    """The whole file. Sections without blocks are left out."""
    from markupsafe import Markup

    assets = dict.fromkeys(name for s in sections for block in s.blocks for name in block.assets)
    files = ("style.css", "script.js", *assets)
    style = "".join(_our_file(name) for name in files if name.endswith(".css"))
    script = "".join(_our_file(name) for name in files if name.endswith(".js"))
    page = (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            subtitle=subtitle,
            sections=[section for section in sections if section.blocks],
            words=words,
            style=Markup(style),  # noqa: S704  (ours, the only text that is not escaped)
            script=Markup(script),  # noqa: S704
            style_hash=_csp_hash(style),
            script_hash=_csp_hash(script),
            version=__version__,
        )
    )
    return well_formed(page)


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("localprompt.views", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _our_file(name: str) -> str:
    return resources.files("localprompt.views").joinpath("page", name).read_text("utf-8")


def _csp_hash(text: str) -> str:
    """As Content Security Policy Level 3 (section 2.3.1) wants an inline element's digest."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
