"""Sections in a terminal, a pipe or a text file, in the width that there is.

Charts are left to pages, as are the details of rows: every figure of a chart stands in a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from localprompt.views.grid import Line, Style, lines_of, wrapped
from localprompt.views.harmless import harmless
from localprompt.views.sections import (
    Block,
    Facts,
    Lines,
    Notice,
    Notices,
    Prose,
    Section,
    Table,
    Texts,
)
from localprompt.views.translation import speaking, to_translate, translated

_HEADINGS = {
    "warning": to_translate("warnings"),
    "refused": to_translate("refused, not tried"),
    "failed": to_translate("failed"),
}
_INDENT = "  "


class Terminal(Console):
    """A console on which no text from outside can command the terminal.

    A reader that went away is a BrokenPipeError; rich itself would leave with exit code 1, which
    means something else.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=harmless(segment.text))

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def print_sections(sections: Iterable[Section], console: Console) -> None:
    """Each with its title above; those without blocks are left out."""
    for section in sections:
        if not section.blocks:
            continue
        if section.title:
            title = translated(section.title)
            print_lines([Line(""), *_lines(title, console.width, "bold")], console)
        print_blocks(section.blocks, console)


def print_blocks(blocks: Iterable[Block], console: Console) -> None:
    above: Block | None = None
    for block in blocks:
        if isinstance(above, Table) and isinstance(block, Table):
            print_lines([Line("")], console)
        print_lines(block_lines(block, console.width), console)
        above = block


def print_text(text: str, console: Console, style: Style = "") -> None:
    """A sentence, in as many lines as it needs."""
    print_lines(_lines(text, console.width, style), console)


def print_lines(lines: Iterable[Line], console: Console) -> None:
    """As they are: what is wider than the terminal, a path or a digest, is broken by nobody."""
    for line in lines:
        text = Text(harmless(line.text).rstrip(), style=line.style)
        console.print(text, soft_wrap=True)


def block_lines(block: Block, width: int) -> Iterator[Line]:
    """A block in a width. Charts have no lines."""
    match block:
        case Table():
            block = _in_language(block)
            yield from _lines(block.title, width, "bold")
            if block.rows:
                yield from lines_of(block, width)
            yield from _lines(block.caption, width, "dim")
        case Facts():
            yield from facts_lines(
                [(fact.name, _with_note(fact.value, fact.note)) for fact in block.items], width
            )
        case Notices():
            yield from _notices(block.items, width)
        case Lines():
            for item in block.items:
                yield from _lines(translated(item), width, "dim" if block.quiet else "")
        case Texts():
            for heading, text in block.items:
                yield from (Line(""), Line(heading, "bold"), *indented(text))
        case Prose():
            for paragraph in block.paragraphs:
                yield from _lines(f"{paragraph.lead} {paragraph.text}".strip(), width)


def facts_lines(facts: Iterable[tuple[str, str]], width: int) -> Iterator[Line]:
    """Names to the left, values to the right of them."""
    known = [(harmless(translated(name)), harmless(value)) for name, value in facts]
    indent = max((len(name) for name, _ in known), default=0) + 2
    for name, value in known:
        first, *others = wrapped(value, width - indent)
        yield Line(f"{name:<{indent}}{first}")
        yield from (Line(" " * indent + more) for more in others)


def indented(text: str) -> Iterator[Line]:
    """A longer text as it is, two columns in."""
    return (Line(f"{_INDENT}{line}") for line in harmless(text).split("\n"))


def _in_language(table: Table) -> Table:
    """With its headings as the user reads them; what stands in its rows is data."""
    if not speaking():
        return table
    from localprompt.views.spoken import spoken_table

    return spoken_table(table)


def _with_note(value: str, note: str) -> str:
    return f"{value} ({note})" if note else value


def _notices(items: Iterable[Notice], width: int) -> Iterator[Line]:
    """Kind by kind, and those with the same advice together: it is one thing to do."""
    ordered: dict[str, dict[str, list[Notice]]] = {}
    for item in items:
        ordered.setdefault(item.level, {}).setdefault(item.advice, []).append(item)
    for level, groups in ordered.items():
        note = level == "note"
        if not note:
            yield from (Line(""), Line(translated(_HEADINGS.get(level, level)), "bold"))
        for advice, notices in groups.items():
            for one in notices:
                said = translated(one.text)
                text = f"{one.where}: {said}" if one.where else said
                yield from _hanging(text, "" if note else _INDENT, width)
            if advice:
                yield from _hanging(
                    f"→ {translated(advice)}", _INDENT if note else 2 * _INDENT, width
                )


def _hanging(text: str, indent: str, width: int) -> Iterator[Line]:
    for line in wrapped(harmless(text), width - len(indent)):
        yield Line(f"{indent}{line}")


def _lines(text: str, width: int, style: Style = "") -> Iterator[Line]:
    if text:
        yield from (Line(line, style) for line in wrapped(harmless(text), width))
