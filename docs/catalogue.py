"""Bring the catalogue of translations up to what the code says now.

    python docs/catalogue.py          write localprompt/views/texts/pt-BR.po, list what is lacking
    python docs/catalogue.py --check  write nothing; exit with 1 where something is lacking

Keys are found in two ways: the help texts of all commands are taken from the program itself, and
messages, headings and status lines from the source, where a call such as ``InputError(f"no model is
called {name!r}")`` gives the key ``no model is called {0}``. Entries whose key is gone are dropped.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import typer.main

from localprompt.cli.app import build_app
from localprompt.cli.help_texts import help_texts
from localprompt.views.translation import read_po

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "localprompt"
CATALOGUE = PACKAGE / "views" / "texts" / "pt-BR.po"

_HEADER = """\
# What the command line says, in the Portuguese of Brazil. English is the key.
# {0}, {1}, … are gaps for values. Written by: python docs/catalogue.py, which adds new keys with an
# empty msgstr; fill those in here. How a Brazilian engineer would say it, not word by word.
msgid ""
msgstr ""
"Language: pt_BR\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"""

# Which arguments of which calls are shown to people: positions, and names.
_ERROR: tuple[tuple[int, ...], tuple[str, ...]] = ((0,), ("expected", "found", "next_step"))
_SHOWN: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    "RunWarning": ((1, 2), ("message", "advice")),
    "Notice": ((1,), ("text", "advice")),
    "Finding": ((0, 1, 3), ("name", "text", "advice")),
    "print_note": ((0,), ()),
    "say_progress": ((0,), ()),
    "_counting": ((0,), ()),
    "Column": ((0,), ("title",)),
    "Section": ((1,), ("title",)),
    "Table": ((0,), ("caption", "about", "title")),
    "text_table": ((0,), ("caption", "about", "title")),
    "Paragraph": ((0, 1), ("text", "lead")),
    "BarChart": ((0, 1), ("title", "caption", "mark_legend")),
    "PanelChart": ((0, 1), ("title", "caption")),
    "ScatterChart": ((0, 1), ("title", "caption")),
    "Fact": ((0,), ("name", "note")),
    "translated": ((0,), ()),
    "to_translate": ((0,), ()),
}
_CERTAIN = ("translated", "to_translate")
"""Calls that say themselves that their text is for the catalogue."""
_NOT_SAID = re.compile(r"web/(?!server)|sources/prompt/(lint|fix)\.")
"""Pages, which have texts of their own, and the names of lint's findings."""
_SPOKEN = re.compile(r'spoken\("([^"]{1,200})"\)')
"""What a page's template says itself."""
_FEWEST_LETTERS = 5
_VARIABLES = ("text", "advice", "cores", "shapes", "own")
"""Names in the doctor for what it says."""
_WORD = re.compile(r"[^\W\d_]{3}")


def keys() -> dict[str, str]:
    """Every key, and where it is said: a file of the package, or a command."""
    found: dict[str, str] = {}
    for text, where in _help():
        found.setdefault(text, where)
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE).as_posix()
        if _NOT_SAID.match(where):
            continue
        names = _VARIABLES if where == "doctor.py" else ()
        for text in _said_in(ast.parse(path.read_text(encoding="utf-8")), names):
            found.setdefault(text, where)
    for path in sorted((PACKAGE / "views" / "page").glob("*.html")):
        for text in _SPOKEN.findall(path.read_text(encoding="utf-8")):
            found.setdefault(text, path.relative_to(PACKAGE).as_posix())
    return found


def _help() -> Iterator[tuple[str, str]]:
    root = typer.main.get_command(build_app())
    yield from ((text, "localprompt --help") for text in help_texts(root))


def _said_in(tree: ast.Module, variables: Collection[str] = ()) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in variables:
                yield from filter(_is_prose, _texts_of(value))
            case ast.Yield(value=ast.Tuple(elts=[first, *_])):  # facts: name, value
                yield from filter(_is_prose, _texts_of(first))
            case ast.Call():
                yield from _said_by(node)


def _said_by(call: ast.Call) -> Iterator[str]:
    name = getattr(call.func, "id", None) or getattr(call.func, "attr", "")
    places, words = _ERROR if name.endswith("Error") else _SHOWN.get(name, ((), ()))
    shown = [call.args[at] for at in places if at < len(call.args)]
    shown += [keyword.value for keyword in call.keywords if keyword.arg in words]
    for node in shown:
        yield from filter(any if name in _CERTAIN else _is_prose, _texts_of(node))


def _texts_of(node: ast.expr) -> Iterator[str]:
    """All that an expression may come out as, with gaps for what only the run knows."""
    for parts in _forms(node):
        gaps = sum(part is None for part in parts)
        numbers = iter(range(gaps))
        yield "".join(
            f"{{{next(numbers)}}}" if part is None else _escaped(part) if gaps else part
            for part in parts
        )
    for inner in ast.walk(node):  # words that are chosen inside a text
        if isinstance(inner, ast.FormattedValue) and isinstance(inner.value, ast.IfExp):
            yield from _texts_of(inner.value)


def _forms(node: ast.expr) -> list[list[str | None]]:
    match node:
        case ast.Constant(value=str(text)):
            return [[text]]
        case ast.JoinedStr(values=values):
            return [
                [part.value if isinstance(part, ast.Constant) else None for part in values]  # type: ignore[misc]
            ]
        case ast.IfExp(body=body, orelse=orelse):
            return _forms(body) + _forms(orelse)
        case ast.BoolOp(values=values):
            return [form for value in values for form in _forms(value)]
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return [a + b for a in _forms(left) for b in _forms(right)]
    return []


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _is_prose(text: str) -> bool:
    """There is something to translate: a word, and not only a command to type."""
    words = re.sub(r"\{\d\}", "", text)
    if re.fullmatch(r"localprompt [^,;(]*|[a-z0-9_]+(\.[a-z0-9_]+)+", text):
        return False
    if words == text:
        return bool(_WORD.search(text))
    # A form that says little by itself would fit texts that it is not meant for.
    return sum(map(str.isalpha, words)) >= _FEWEST_LETTERS


def catalogue_text(translations: dict[str, str], found: dict[str, str]) -> str:
    """The file: by place and in the order of the code."""
    entries, place = [_HEADER], ""
    for key, where in found.items():
        if where != place:
            entries.append(f"\n#: {where}\n")
            place = where
        else:
            entries.append("\n")
        entries += [_field("msgid", key), _field("msgstr", translations.get(key, ""))]
    return "".join(entries)


def _field(name: str, text: str) -> str:
    lines = text.split("\n")
    if len(lines) == 1:
        return f"{name} {json.dumps(text, ensure_ascii=False)}\n"
    parts = [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    return "".join(
        [f'{name} ""\n', *(f"{json.dumps(part, ensure_ascii=False)}\n" for part in parts)]
    )


def lacking(translations: dict[str, str], found: Iterable[str]) -> list[str]:
    return [key for key in found if not translations.get(key)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    old = CATALOGUE.read_text(encoding="utf-8") if CATALOGUE.exists() else ""
    translations, found = dict(read_po(old)), keys()
    text = catalogue_text(translations, found)
    if not options.check:
        CATALOGUE.write_text(text, encoding="utf-8")
    for key in lacking(translations, found):
        print(f"{CATALOGUE.relative_to(ROOT)}: no translation of {key!r} ({found[key]})")
    return int(options.check and (text != old or bool(lacking(translations, found))))


if __name__ == "__main__":
    sys.exit(main())
