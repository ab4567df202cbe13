"""A table in a given width, as lines of text.

From the most room to the least, the first form that fits is taken:

1. as it is;
2. prose in several lines;
3. headings in several lines, too;
4. one blank before figures, where two are usual, and units in headings;
5. labels in one column, a line each; intervals and shares below their figures, as their headings;
6. long names shortened in the middle;
7. without the columns that can be spared, which are then named below the table;
8. each row as a few lines of its own.

No word is broken letter by letter, no line ends in blanks, and nothing is left out without a mark:
``…`` inside a name, a line below the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

import msgspec
from rich.cells import cell_len, chop_cells, set_cell_size

from localprompt.units import UNKNOWN
from localprompt.views.harmless import harmless
from localprompt.views.sections import Column, Row, Table
from localprompt.views.translation import translated

Style = Literal["", "bold", "dim", "red"]

_GAP = "  "
_BETWEEN = " · "
_LEAST_PROSE = 18
_LEAST_NAME = 10
_STYLES: dict[str, Style] = {"": "", "strong": "bold", "weak": "dim"}
_BREAKS = (" ± ", " (")
"""Before these a figure may go on below."""


class Line(NamedTuple):
    text: str
    style: Style = ""


class _Form(NamedTuple):
    """What is done to make a table narrower; see the list above."""

    wraps: bool = False
    heads: bool = False
    tight: bool = False
    stacks: bool = False
    shortens: bool = False


_FORMS = (
    _Form(),
    _Form(wraps=True),
    _Form(wraps=True, heads=True),
    _Form(wraps=True, heads=True, tight=True),
    _Form(wraps=True, heads=True, stacks=True),
    _Form(wraps=True, heads=True, tight=True, shortens=True),
    _Form(wraps=True, heads=True, tight=True, stacks=True, shortens=True),
)


class _Laid(NamedTuple):
    """A column with its cells, as a form has them."""

    column: Column
    title: str
    cells: list[str]


def lines_of(table: Table, width: int) -> list[Line]:
    """The table, at most ``width`` cells wide unless a single word is wider."""
    for left_out in _ever_fewer(table.columns):
        shown = _without(table, left_out)
        for form in _FORMS:
            if (drawn := _drawn(shown, form, width)) is not None:
                names = ", ".join(column.title for column in left_out)
                note = translated(f"left out to save space: {names}")
                return [*drawn, *([Line(note, "dim")] if left_out else [])]
    return list(_lists(table, width))


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines broken between words; a word that is wider stays whole."""
    return [line for part in text.split("\n") for line in flowed(part.split(" "), width, " ")]


def middle_cut(text: str, width: int) -> str:
    """``smollm2-135m-instruct-q4_0`` → ``smollm2-1…uct-q4_0``: both ends of a name tell it."""
    if cell_len(text) <= width:
        return text
    end = (width - 1) // 2
    start = width - 1 - end
    tail = chop_cells(text[::-1], end)[0][::-1] if end else ""
    return f"{chop_cells(text, start)[0]}…{tail}"


def _ever_fewer(columns: Sequence[Column]) -> Iterator[list[Column]]:
    """Nothing left out, then one column after the other that can be spared."""
    spared = sorted((column for column in columns if column.spare), key=lambda c: -c.spare)
    for count in range(len(spared) + 1):
        yield [column for column in columns if column in spared[:count]]


def _without(table: Table, left_out: Sequence[Column]) -> Table:
    if not left_out:
        return table
    kept = [at for at, column in enumerate(table.columns) if column not in left_out]
    return msgspec.structs.replace(
        table,
        columns=tuple(table.columns[at] for at in kept),
        rows=tuple(
            msgspec.structs.replace(row, values=tuple(row.values[at] for at in kept))
            for row in table.rows
        ),
    )


def _drawn(table: Table, form: _Form, width: int) -> list[Line] | None:
    """None where the form does not fit."""
    laid = _stacked(table) if form.stacks else _plain(table)
    if form.tight:
        laid = [_without_unit(one) for one in laid]
    if not laid:
        return []
    widths = _widths(laid, form, width)
    if widths is None:
        return None
    gaps = _gaps(laid, form)
    lines = [*_row_lines([one.title for one in laid], laid, widths, gaps, "bold")]
    if not any(line.text for line in lines):
        lines = []
    heading_of = _group_name(table) if form.stacks else lambda row: ""
    apart = form.stacks and any("\n" in cell for one in laid for cell in one.cells)
    numbered = enumerate(table.rows)
    for heading, group in groupby(numbered, key=lambda pair: heading_of(pair[1])):
        if heading:
            lines += [Line(""), *(Line(text, "bold") for text in wrapped(heading, width))]
        for at, row in group:
            cells = [one.cells[at] for one in laid]
            if apart and at and not heading:
                lines.append(Line(""))
            lines += _row_lines(cells, laid, widths, gaps, _STYLES[row.emphasis])
    return lines


def _group_name(table: Table) -> Callable[[Row], str]:
    at = next((at for at, column in enumerate(table.columns) if column.label == "group"), None)
    return lambda row: "" if at is None else _clean(row.values[at].text)


def _plain(table: Table) -> list[_Laid]:
    return [
        _Laid(column, column.title, [_clean(row.values[at].text) for row in table.rows])
        for at, column in enumerate(table.columns)
    ]


def _stacked(table: Table) -> list[_Laid]:
    """Labels in one column, figures with what belongs to them below."""
    laid: list[_Laid] = []
    labels = [one for one in _plain(table) if one.column.label in {"bare", "titled"}]
    for one in _plain(table):
        column = one.column
        if column.label == "group":
            continue
        if column.label and len(labels) > 1:
            if one.title == labels[0].title:
                laid.append(_Laid(column, table.about or one.title, _joined(labels)))
        elif column.below and laid:
            above = laid[-1]
            cells = [
                f"{a}\n{b}" if b != UNKNOWN else a
                for a, b in zip(above.cells, one.cells, strict=True)
            ]
            laid[-1] = above._replace(
                title=f"{above.title}\n{_title_below(above.column, one.title)}",
                cells=[cell.strip("\n") for cell in cells],
            )
        else:
            laid.append(_broken(one))
    return laid


def _title_below(above: Column, title: str) -> str:
    """Without the heading that it stands under: ``prefill, of limit`` → ``of limit``."""
    return title.removeprefix(f"{above.title}, ").removesuffix(f" of {above.title}")


def _joined(labels: Sequence[_Laid]) -> list[str]:
    """The labels of each row, a line each."""
    cells = []
    for texts in zip(*(one.cells for one in labels), strict=True):
        pairs = zip(labels, texts, strict=True)
        known = [(one, text) for one, text in pairs if text not in {"", UNKNOWN}]
        cells.append("\n".join(_named(one, text) for one, text in known))
    return cells


def _named(one: _Laid, text: str) -> str:
    return text if one.column.label == "bare" else f"{one.title} {text}"


def _broken(one: _Laid) -> _Laid:
    """A figure's interval goes below it, and its unit into the heading."""
    if not one.column.numeric:
        return one
    bare = _without_unit(one)
    cells = bare.cells
    for mark in _BREAKS:
        cells = [cell.replace(mark, f"\n{mark.lstrip()}") for cell in cells]
    return bare._replace(cells=cells)


def _without_unit(one: _Laid) -> _Laid:
    """The unit in the heading instead of in every figure."""
    unit = f" {one.column.unit}"
    if not one.column.unit or one.title.endswith(unit):
        return one
    return one._replace(title=one.title + unit, cells=[c.replace(unit, "") for c in one.cells])


def _widths(laid: Sequence[_Laid], form: _Form, width: int) -> list[int] | None:
    """Of the columns; None where they cannot be made to fit."""
    wanted = [max(_heading_width(one, form), _widest(one.cells)) for one in laid]
    least = [
        max(_heading_width(one, form), min(want, _least(one, form)))
        for one, want in zip(laid, wanted, strict=True)
    ]
    excess = sum(wanted) + sum(map(len, _gaps(laid, form))) - width
    if excess > sum(wanted) - sum(least):
        return None
    while excess > 0:
        at = max(range(len(laid)), key=lambda i: (wanted[i] - least[i] > 0, wanted[i]))
        wanted[at] -= 1
        excess -= 1
    return wanted


def _gaps(laid: Sequence[_Laid], form: _Form) -> list[str]:
    """What stands before each column."""
    return ["", *(" " if form.tight and one.column.numeric else _GAP for one in laid[1:])]


def _least(one: _Laid, form: _Form) -> int:
    """How narrow its cells may get."""
    if one.column.prose and form.wraps:
        longest = max((cell_len(word) for cell in one.cells for word in cell.split()), default=0)
        return min(max(longest, _LEAST_PROSE), 2 * _LEAST_PROSE)
    if form.shortens and not one.column.numeric and not one.column.whole:
        return _LEAST_NAME
    return _widest(one.cells)


def _heading_width(one: _Laid, form: _Form) -> int:
    words = one.title.split() if form.heads else [one.title]
    return max(map(cell_len, words), default=0)


def _widest(cells: Sequence[str]) -> int:
    return max((cell_len(line) for cell in cells for line in cell.split("\n")), default=0)


def _row_lines(
    cells: Sequence[str],
    laid: Sequence[_Laid],
    widths: Sequence[int],
    gaps: Sequence[str],
    style: Style,
) -> Iterator[Line]:
    columns = [
        [middle_cut(line, width) for line in wrapped(cell, width)]
        for cell, width in zip(cells, widths, strict=True)
    ]
    for number in range(max(map(len, columns))):
        texts = [lines[number] if number < len(lines) else "" for lines in columns]
        placed = (
            gap + _placed(text, width, one.column.numeric)
            for gap, text, width, one in zip(gaps, texts, widths, laid, strict=True)
        )
        yield Line("".join(placed).rstrip(), style)


def _placed(text: str, width: int, right: bool) -> str:
    return " " * (width - cell_len(text)) + text if right else set_cell_size(text, width)


def _lists(table: Table, width: int) -> Iterator[Line]:
    """Each row with its name above and its figures below, as many to a line as fit."""
    labels = [at for at, column in enumerate(table.columns) if column.label] or [0]
    for number, row in enumerate(table.rows):
        if number:
            yield Line("")
        yield from (Line(text, "bold") for text in wrapped(_row_name(table, row, labels), width))
        figures = [
            f"{column.title} {text}".strip()
            for at, column in enumerate(table.columns)
            if at not in labels and (text := " ".join(_clean(row.values[at].text).split()))
        ]
        for line in flowed(figures, width - len(_GAP), _BETWEEN):
            yield from (Line(_GAP + part) for part in wrapped(line, width - len(_GAP)))


def flowed(pieces: Iterable[str], width: int, between: str) -> Iterator[str]:
    """The pieces on lines of a width; none is broken."""
    line = ""
    for piece in pieces:
        longer = f"{line}{between}{piece}" if line else piece
        if line and cell_len(longer) > width:
            yield line
            line = piece
        else:
            line = longer
    yield line


def _row_name(table: Table, row: Row, labels: Sequence[int]) -> str:
    parts = []
    for at in labels:
        column, text = table.columns[at], _clean(row.values[at].text)
        if text not in {"", UNKNOWN}:
            parts.append(f"{column.title} {text}" if column.label == "titled" else text)
    return ", ".join(parts) or row.name


def _clean(text: str) -> str:
    return harmless(text).expandtabs(1)
