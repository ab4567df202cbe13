"""Sections as a piece of Markdown.

What a model answered is written by nobody who can be trusted: all characters that mean something
to Markdown or HTML are escaped, so a cell cannot break its table, load an image or carry a script.
Charts and the details of rows are left to pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from localprompt.views.files.rows import text_of
from localprompt.views.harmless import harmless
from localprompt.views.sections import (
    Block,
    Column,
    Facts,
    Lines,
    Notices,
    Prose,
    Section,
    Table,
    Texts,
)
from localprompt.views.spoken import spoken
from localprompt.views.translation import speaking, translated

_SPECIAL = re.compile(r"[\\`*_\[\]<>|~&$]")


def markdown(sections: Iterable[Section], level: int) -> str:
    """The sections with headings of that level; those without blocks are left out."""
    if speaking():
        sections = spoken(sections)
    parts = []
    for section in sections:
        blocks = "\n".join(filter(None, map(block_markdown, section.blocks)))
        if blocks:
            title = f"{'#' * level} {cell(section.title)}\n\n" if section.title else ""
            parts.append(f"{title}{blocks}")
    return "\n".join(parts)


def block_markdown(block: Block) -> str:
    """A block, with a line end after it; "" where there is nothing to write."""
    match block:
        case Table():
            caption = f"\n{cell(block.caption)}\n" if block.caption else ""
            title = f"**{cell(block.title)}**\n\n" if block.title else ""
            table = _table(block) if block.rows else ""
            return f"{title}{table}{caption if table else caption.lstrip()}"
        case Facts():
            notes = (f" ({fact.note})" if fact.note else "" for fact in block.items)
            pairs = zip(block.items, notes, strict=True)
            return _list(f"{fact.name}: {fact.value}{note}" for fact, note in pairs)
        case Notices():
            return _list(
                ("" if one.level == "note" else f"{translated(one.level)}: ")
                + (f"{one.where}: " if one.where else "")
                + one.text
                + (f" ({one.advice})" if one.advice else "")
                for one in block.items
            )
        case Lines(quiet=True):
            return "\n".join(f"{cell(item)}\n" for item in block.items)
        case Lines():
            return _list(block.items)
        case Texts():
            return "\n".join(f"**{cell(name)}**\n\n{cell(text)}\n" for name, text in block.items)
        case Prose():
            return "\n".join(
                f"{cell(f'{one.lead} {one.text}'.strip())}\n" for one in block.paragraphs
            )
    return ""


def table_rows(columns: Iterable[Column], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """A table line by line, for one whose rows come one at a time."""
    heads = tuple(columns)
    yield row(cell(column.title) for column in heads)
    yield row("---:" if column.numeric else "---" for column in heads)
    for values in rows:
        yield row(map(cell, values))


def row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def cell(value: Any) -> str:
    """A value on one line, with nothing in it that Markdown would obey."""
    lines = re.split(r"\r\n|\r|\n", text_of(value))
    return "<br>".join(
        _SPECIAL.sub(r"\\\g<0>", harmless(line).replace("\t", "␉")) for line in lines
    )


def _table(table: Table) -> str:
    rows = ((value.text for value in one.values) for one in table.rows)
    return "".join(table_rows(table.columns, rows))


def _list(items: Iterable[str]) -> str:
    return "".join(f"- {cell(item)}\n" for item in items)
