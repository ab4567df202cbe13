"""Code of a suite in files: assertions, transforms, prompts and filters with exported functions.

JavaScript runs without Node: CommonJS as it stands, ES modules with their exports rewritten, and
files beside them joined to one. What imports a module of Node or a package, or is TypeScript, is
refused by name when the suite is read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from localprompt import doors
from localprompt.errors import DatasetError
from localprompt.javascript.engine import ASSERTION, TRANSFORM, compile_error, function_body
from localprompt.records.score import Script
from localprompt.sources.documents import read_text
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.suite.script_modules import imported, joined
from localprompt.sources.suite.values import FILE, is_template
from localprompt.sources.yaml import At

_EXPORTS = (
    (
        re.compile(r"^([^\S\n]*+)export\s++default\s++", re.MULTILINE),
        r"\1module.exports.default = ",
    ),
    (
        re.compile(
            r"^([^\S\n]*+)export\s++((?:async\s++)?function\s*+\*?\s*+(\w++))", re.MULTILINE
        ),
        r"\1module.exports.\3 = \3; \2",
    ),
    (
        re.compile(r"^([^\S\n]*+)export\s++(const|let|var)\s++(\w++)\s*+=", re.MULTILINE),
        r"\1\2 \3 = module.exports.\3 =",
    ),
)
_PYTHON = re.compile(r"\Afile://\S[^\n]*\.py(?::[\w.]+)?\Z")
_WITH_FUNCTION = re.compile(r"(.+\.(?:py|[cm]?[jt]s|go|rb)):([\w.]+)")
_EXPORT_LIST = re.compile(r"^[^\S\n]*+export\s*+\{([^{}]{0,4000}+)\}\s*+;?", re.MULTILINE)


def read_script(path: Path, folder: SuiteFolder) -> str:
    """The source of a file with exported functions, and of the files that it reaches, ready to run.

    Raises:
        DatasetError: it cannot be read, needs Node or TypeScript, or is not JavaScript.
    """
    return joined(path, folder, _prepared)


def _prepared(source: str, path: Path) -> str:
    source = _as_commonjs(source)
    objection = compile_error(source, ("module", "exports", "require"))
    if objection is not None:
        raise DatasetError(f"not JavaScript: {objection}", where=str(path))
    return source


def file_script(reference: str, folder: SuiteFolder, at: At) -> Script:
    """``file://check.js`` or ``file://check.js:name`` as a script.

    Raises:
        DatasetError: as :func:`read_script`, or it is not there.
    """
    name, function = split_function(reference.removeprefix(FILE))
    path = folder / name
    if not doors.is_file(path):
        raise DatasetError("no such file", where=str(at), found=str(path))
    source = read_script(folder.allow(path, str(at)), folder)
    return Script(source, file=True, name=function or None)


def split_function(reference: str) -> tuple[str, str]:
    """``prompts.js:short`` → the file and its export; in Python also ``Class.method``."""
    found = _WITH_FUNCTION.fullmatch(reference)
    return (found[1], found[2]) if found else (reference, "")


def as_expression(script: Script) -> str:
    """Source that returns the file's function, as Nunjucks takes a filter."""
    chosen = f"module.exports[{script.name!r}]" if script.name else "module.exports"
    return (
        "const module = { exports: {} }; (function (module, exports) {\n"
        f"{script.source}\n"
        f"}})(module, module.exports); const found = {chosen}; return found.default ?? found;"
    )


def transform_script(
    value: Any, folder: SuiteFolder, at: At, first: str = "output", *, allow_code: bool
) -> Script:
    """A ``transform``: an expression, a function's body, or a file.

    Args:
        first: what inline code calls the first argument.
        allow_code: whether it may be Python.

    Raises:
        DatasetError: it is not JavaScript that runs here, nor Python that may.
    """
    if not isinstance(value, str) or not value.strip():
        raise DatasetError("not a transform", where=str(at), expected="JavaScript, or a file of it")
    if _PYTHON.search(value):
        return _python_script(value, folder, at, allow_code=allow_code)
    if value.startswith(FILE):
        return file_script(value, folder, at)
    check_code(value, (first, *TRANSFORM[1:]), at, body=value)
    return Script(value)


def _python_script(reference: str, folder: SuiteFolder, at: At, *, allow_code: bool) -> Script:
    """``file://transform.py`` (its function ``get_transform``) or ``file://transform.py:name``."""
    if not allow_code:
        raise DatasetError(
            "the transform is this suite's Python code, which has to be allowed",
            where=str(at),
            expected="--allow-code",
            found=reference,
        )
    name, function = split_function(reference.removeprefix(FILE))
    path = folder / name
    if not doors.is_file(path):
        raise DatasetError("no such file", where=str(at), found=str(path))
    allowed = folder.allow(path, str(at)).absolute()
    source, named = read_text(allowed), function or "get_transform"
    return Script(source, file=True, name=named, python=str(allowed))


def check_code(
    code: str, names: tuple[str, ...] = ASSERTION, at: At | None = None, body: str | None = None
) -> None:
    """
    Raises:
        DatasetError: inline code that needs Node or does not compile.
    """
    where = None if at is None else str(at)
    needed = needs_node(code)
    if needed is not None:
        raise DatasetError(
            f"the script needs {needed}, and Node is not available here",
            where=where,
            expected="a script without file or network access",
        )
    if is_template(code):
        return  # what it says is known only when a case is
    source = function_body(code) if body is None else body if "\n" in body else f"return {body}"
    objection = compile_error(source, (*names, "process"))
    if objection is not None and compile_error(code, (*names, "process")) is not None:
        raise DatasetError(f"not JavaScript: {objection}", where=where, found=_short(code))


def _short(code: str) -> str:
    line = " ".join(code.split())
    return line if len(line) <= 60 else f"{line[:59]}…"


def needs_node(source: str) -> str | None:
    """What a script imports; None: nothing."""
    return next((repr(name) for name in imported(source)), None)


def _as_commonjs(source: str) -> str:
    if "export" not in source:
        return source
    for pattern, replacement in _EXPORTS:
        source = pattern.sub(replacement, source)

    def listed(match: re.Match[str]) -> str:
        names = (part.split(" as ") for part in match[1].split(",") if part.strip())
        return "".join(f"module.exports.{n[-1].strip()} = {n[0].strip()};" for n in names)

    return _EXPORT_LIST.sub(listed, source)
