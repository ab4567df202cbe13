"""Scripts that are made of several files, as one script.

A file may require or import files beside it, in the suite's folder: CommonJS, ES modules (their
imports rewritten to ``require``) and JSON. All that a script reaches is read when the suite is, and
put into one source with a ``require`` of its own, so nothing is opened while it runs. What is not a
path (``fs``, a package) would need Node, and is refused by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from localprompt import doors
from localprompt.errors import DatasetError
from localprompt.sources.documents import load_json, read_text
from localprompt.sources.suite.folder import SuiteFolder

MOST_FILES = 100
"""Of one script."""
IMPORT = re.compile(
    r"""^[^\S\n]*+import\s++(?:[^'"();]{0,2000}?\bfrom\s*+)?["']([^"'\n]++)["']|"""
    r"""\b(?:require|import)\s*+\(\s*+["']([^"'\n]++)["']\s*+\)""",
    re.MULTILINE,
)
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)|^[^\S\n]*+//[^\n]*", re.DOTALL | re.MULTILINE)
_ES_IMPORT = re.compile(
    r"""^[^\S\n]*+import\s++(?:([^'"();]{0,2000}?)\bfrom\s*+)?["']([^"'\n]++)["'][^\S\n]*+;?""",
    re.MULTILINE,
)
_CLAUSE = re.compile(r"\s*+(?:(\w++)\s*+,?)?+\s*+(?:\{([^{}]*+)\}|\*\s*+as\s++(\w++))?+\s*+")
_AS = re.compile(r"\bas\b")
SUFFIXES = frozenset({".js", ".cjs", ".mjs"})
TYPESCRIPT = frozenset({".ts", ".mts", ".cts"})
_ENDINGS = ("", ".js", ".cjs", ".mjs", ".json", "/index.js")
_LOADER = """\
const $made = [];
const $load = (id) => {
  if ($made[id] === undefined) {
    $made[id] = { exports: {} };
    $files[id]($made[id], $made[id].exports, (name) => $load($links[id][name]));
  }
  return $made[id].exports;
};
module.exports = $load(0);
"""

Prepare = Callable[[str, Path], str]
"""The source of a file and its path → the source as CommonJS; raises DatasetError."""


def imported(source: str) -> list[str]:
    """What a script imports, comments left out."""
    found = IMPORT.finditer(_COMMENT.sub("", source))
    return [one[1] or one[2] for one in found]


def joined(path: Path, folder: SuiteFolder, prepare: Prepare) -> str:
    """The source of a file with all the files that it reaches.

    Raises:
        DatasetError: it needs Node, or one of them is not there or outside of the suite's folder.
    """
    paths, sources = [path], list[str]()
    links: list[dict[str, int]] = []
    for current in paths:  # it grows
        if current.suffix in TYPESCRIPT:
            raise no_typescript(current, str(current))
        is_data = current.suffix == ".json" and current != path
        if not is_data and current.suffix not in SUFFIXES:
            raise DatasetError(
                f"{current.suffix or 'such'} files cannot be run",
                where=str(current),
                expected="JavaScript",
            )
        source = read_text(current)
        if is_data:
            data = json.dumps(load_json(source, str(current)), ensure_ascii=True)
            sources.append(f"module.exports = {data};")
            links.append({})
            continue
        own: dict[str, int] = {}
        for name in imported(source):
            reached = _reached(name, current, folder)
            if reached not in paths:
                paths.append(reached)
            own[name] = paths.index(reached)
        if len(paths) > MOST_FILES:
            found = f"{len(paths)} files"
            raise DatasetError(
                "the script is made of too many files",
                where=str(path),
                expected=f"at most {MOST_FILES}",
                found=found,
            )
        sources.append(prepare(_ES_IMPORT.sub(_required, source), current))
        links.append(own)
    if len(sources) == 1:
        return sources[0]
    bodies = ",\n".join(f"function (module, exports, require) {{\n{s}\n}}" for s in sources)
    return f"const $files = [{bodies}];\nconst $links = {json.dumps(links)};\n{_LOADER}"


def no_typescript(path: Path, where: str) -> DatasetError:
    """That a file of TypeScript cannot be run, and what makes JavaScript of it."""
    return DatasetError(
        "TypeScript cannot be run here",
        where=where,
        expected="JavaScript: npx esbuild --bundle --format=cjs FILE.ts --outfile=FILE.js, where"
        " there is Node",
        found=path.name,
    )


def _reached(name: str, current: Path, folder: SuiteFolder) -> Path:
    """The file that a script names."""
    if not name.startswith(("./", "../")):
        raise DatasetError(
            f"the script needs {name!r}, and Node is not available here",
            where=str(current),
            expected="a script, and files beside it, without modules of Node",
        )
    beside = folder.beside(current)
    for ending in _ENDINGS:
        path = beside / f"{name.removeprefix('./')}{ending}"
        if doors.is_file(path):
            return folder.allow(path, str(current))
    raise DatasetError("no such script", where=str(current), found=name)


def _required(match: re.Match[str]) -> str:
    """An ``import`` as ``require``."""
    clause, name = match.groups()
    required = f"require({json.dumps(name)})"
    parts = None if clause is None else _CLAUSE.fullmatch(clause)
    if parts is None:
        return match[0] if clause is not None else f"{required};"
    default, named, whole = parts.groups()
    made = f"const {default} = ((found) => found.default ?? found)({required}); " if default else ""
    if named is not None:
        made += f"const {{{_AS.sub(':', named)}}} = {required};"
    if whole is not None:
        made += f"const {whole} = {required};"
    return made.strip()
