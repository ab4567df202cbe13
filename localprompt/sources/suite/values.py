"""Values of a suite that stand for something else: templates and ``file://`` references.

Assertion values, metric names and descriptions may contain ``{{ variables }}`` of their case.
They are rendered by Nunjucks, as prompts are; a variable that is not there is empty. Text without
marks is returned as it is, which is most of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localprompt import doors
from localprompt.errors import DatasetError
from localprompt.javascript.engine import Template, render_text
from localprompt.sources.documents import read_document, read_text
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.yaml import At

FILE = "file://"
_CODE = frozenset({".py", ".js", ".cjs", ".mjs", ".ts", ".rb", ".go", ".sh"})
_BINARY = frozenset(
    {".pdf", ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".mp3", ".wav", ".mp4", ".mov"}
    | {".xlsx", ".xls", ".docx"}
)
_REFERENCE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_ENV = re.compile(r"""\benv\s*(?:\.\s*(\w+)|\[\s*["'](\w+)["']\s*\])""")
_PASSES = 5
"""How far variables may refer to variables that refer to variables."""
MOST_CHARACTERS = 10_000_000
"""Of variables that name each other, put in."""


def render(text: str, variables: Mapping[str, Any], env: Mapping[str, str] | None = None) -> str:
    """``text`` with the case's variables put in.

    Raises:
        ScriptError: it is not a template, or does not come to an end.
    """
    if not is_template(text):
        return text
    return render_text(Template(text, used_env(text, env or {})), variables)


def is_template(text: str) -> bool:
    """Whether Nunjucks would make something else of it."""
    return "{{" in text or "{%" in text or "{#" in text


def render_all(
    value: Any, variables: Mapping[str, Any], env: Mapping[str, str] | None = None
) -> Any:
    """``render`` for a text, or for the texts of a list."""
    if isinstance(value, str):
        return render(value, variables, env)
    if isinstance(value, (list, tuple)):
        return [render(item, variables, env) if isinstance(item, str) else item for item in value]
    return value


def used_env(text: str, env: Mapping[str, str]) -> dict[str, str]:
    """The variables of the environment that a template names; those that are not set are empty."""
    names = (first or second for first, second in _ENV.findall(text)) if "env" in text else ()
    return {name: env.get(name, "") for name in names}


def file_value(reference: str, folder: SuiteFolder, at: At) -> Any:
    """What a ``file://`` value stands for: data of JSON and YAML, otherwise the text.

    Raises:
        DatasetError: it is code, a picture or a document, or cannot be read.
    """
    path = file_path(reference, folder, at)
    if path.suffix in {".json", ".yaml", ".yml"}:
        return read_document(path, allow=folder.allow).data
    return read_text(path).strip()


def file_path(reference: str, folder: SuiteFolder, at: At) -> Path:
    """The path of a ``file://`` reference to data, relative to the suite's folder.

    Raises:
        DatasetError: it is code, a picture or a document, or is not there.
    """
    return checked_file(folder / reference.removeprefix(FILE), folder, at)


def checked_file(path: Path, folder: SuiteFolder, at: At) -> Path:
    """A path, where it leads to data that the suite may read; raises as :func:`file_path`."""
    suffix = ".py" if ".py:" in path.name else path.suffix
    if suffix in _CODE:
        language = "Python" if suffix == ".py" else f"{suffix} files"
        raise DatasetError(
            f"a value made by {language} is not supported",
            where=str(at),
            expected="a file with data, text or one JavaScript function",
        )
    if suffix in _BINARY:
        raise DatasetError(
            f"{suffix} files cannot be put into a prompt", where=str(at), expected="text"
        )
    if not doors.is_file(path):
        raise DatasetError("no such file", where=str(at), found=str(path))
    return folder.allow(path, str(at))


def variable_from_file(path: Path, folder: SuiteFolder) -> str:
    """A variable's text: JSON of a YAML file, anything else as it is without outer white space.

    Raises:
        DatasetError: it cannot be read.
    """
    if path.suffix in {".yaml", ".yml"}:
        data = read_document(path, allow=folder.allow).data
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return read_text(path).strip()


def resolve_references(variables: dict[str, Any], where: str | None = None) -> dict[str, Any]:
    """Variables whose text names others (``{{ city }}``), with those put in.

    Only plain names are replaced, as promptfoo does before it renders a prompt; what a name does
    not stand for stays.

    Args:
        where: the test that has them, for the error.

    Raises:
        DatasetError: they become more than MOST_CHARACTERS.
    """
    if not any(isinstance(value, str) and "{{" in value for value in variables.values()):
        return variables
    resolved = dict(variables)
    left = MOST_CHARACTERS

    def named(match: re.Match[str]) -> str:
        nonlocal left
        text = as_javascript(resolved[match[1]]) if match[1] in resolved else match[0]
        left -= len(text)
        if left < 0:
            raise DatasetError(
                "the variables that name each other become too long",
                where=where,
                expected=f"at most {MOST_CHARACTERS:,} characters",
            )
        return text

    for _ in range(_PASSES):
        before = dict(resolved)
        for name, value in before.items():
            if isinstance(value, str) and "{{" in value:
                resolved[name] = _REFERENCE.sub(named, value)
        if resolved == before:
            break
    return resolved


def as_javascript(value: Any) -> str:
    """A value as JavaScript puts it into a text."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join("" if item is None else as_javascript(item) for item in value)
    if isinstance(value, dict):
        return "[object Object]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return json.dumps(value)
