"""Sections as the user reads them: what a page says about its figures, in the user's language.

What stands in rows, answers and prompts is data and stays as it is. The texts of ``evidence`` and
``contrast`` come in the language that was asked for, and do not pass here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from localprompt.views.sections import (
    BarChart,
    Block,
    Fact,
    Facts,
    Lines,
    Notice,
    Notices,
    PanelChart,
    Paragraph,
    Prose,
    Row,
    ScatterChart,
    Section,
    Table,
    Texts,
    Value,
)
from localprompt.views.translation import translated


def spoken(sections: Iterable[Section]) -> list[Section]:
    """The same sections, with their own words translated."""
    return [
        msgspec.structs.replace(
            section,
            title=translated(section.title),
            blocks=tuple(_block(block) for block in section.blocks),
        )
        for section in sections
    ]


def _block(block: Block) -> Block:
    match block:
        case Table():
            return spoken_table(block)
        case Facts():
            return msgspec.structs.replace(block, items=tuple(map(_fact, block.items)))
        case Notices():
            return msgspec.structs.replace(block, items=tuple(map(_notice, block.items)))
        case Lines():
            return msgspec.structs.replace(block, items=tuple(map(translated, block.items)))
        case Prose():
            return msgspec.structs.replace(
                block,
                paragraphs=tuple(map(_paragraph, block.paragraphs)),
                folded=translated(block.folded),
            )
        case Texts():
            items = tuple((translated(heading), text) for heading, text in block.items)
            return msgspec.structs.replace(block, items=items)
        case BarChart():
            return msgspec.structs.replace(
                block,
                title=translated(block.title),
                caption=translated(block.caption),
                legend=tuple(map(translated, block.legend)),
                mark_legend=translated(block.mark_legend),
            )
        case PanelChart() | ScatterChart():
            return msgspec.structs.replace(
                block, title=translated(block.title), caption=translated(block.caption)
            )
    return block


def spoken_table(table: Table) -> Table:
    """A table with its headings, and those of its values that are words of ours."""
    columns = (
        msgspec.structs.replace(column, title=translated(column.title)) for column in table.columns
    )
    ours = [column.ours for column in table.columns]
    return msgspec.structs.replace(
        table,
        columns=tuple(columns),
        rows=tuple(_row(row, ours) for row in table.rows),
        title=translated(table.title),
        about=translated(table.about),
        caption=translated(table.caption),
    )


def _row(row: Row, ours: Sequence[bool]) -> Row:
    """With the names of its details, and those values that are words of ours."""
    values = tuple(
        Value(translated(value.text), value.order) if own else value
        for value, own in zip(row.values, ours, strict=False)
    )
    texts = tuple((translated(heading), text) for heading, text in row.texts)
    facts = tuple(map(_fact, row.facts))
    return msgspec.structs.replace(row, values=values, facts=facts, texts=texts)


def _fact(fact: Fact) -> Fact:
    return Fact(translated(fact.name), fact.value, translated(fact.note))


def _notice(notice: Notice) -> Notice:
    return msgspec.structs.replace(
        notice, text=translated(notice.text), advice=translated(notice.advice)
    )


def _paragraph(paragraph: Paragraph) -> Paragraph:
    return Paragraph(translated(paragraph.text), translated(paragraph.lead))
