"""Values of a suite that stand for something else: templates and ``file://`` references.

Assertion values, metric names and descriptions may contain ``{{ variables }}`` of their case.
They are rendered in the same bounded sandbox as prompts; as in Nunjucks, a variable that is not
there is empty. Text without marks is returned as it is, which is most of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from localprompt.errors import DatasetError
from localprompt.sources.documents import read_document, read_text
from localprompt.sources.suite.nunjucks import translate_nunjucks
from localprompt.sources.yaml import At

FILE = "file://"
_CODE = frozenset({".py", ".js", ".cjs", ".mjs", ".ts", ".rb", ".go", ".sh"})
_BINARY = frozenset(
    {".pdf", ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".mp3", ".wav", ".mp4", ".mov"}
    | {".xlsx", ".xls", ".docx"}
)
_REFERENCE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_PASSES = 5
"""How far variables may refer to variables that refer to variables."""


def render(text: str, variables: Mapping[str, Any]) -> str:
    """``text`` with the case's variables put in.

    Raises:
        LocalPromptError: it is no valid template, or does not come to an end.
    """
    if "{{" not in text and "{%" not in text:
        return text
    names = _REFERENCE.findall(text)
    if "{%" not in text and text.count("{") == 2 * len(names):
        # Only plain names, as nearly always: no need for the sandbox where all are texts.
        values = [variables.get(name, "") for name in names]
        if all(isinstance(value, str) for value in values):
            return _REFERENCE.sub(lambda match: variables.get(match[1], ""), text)
    from localprompt.rendering.budget import Limits
    from localprompt.rendering.environment import run

    template, place = _compiled(text)
    return str.__str__(run(template, variables, place, Limits()))


def render_all(value: Any, variables: Mapping[str, Any]) -> Any:
    """``render`` for every text inside lists and mappings, keys left alone."""
    if isinstance(value, str):
        return render(value, variables)
    if isinstance(value, dict):
        return {key: render_all(item, variables) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [render_all(item, variables) for item in value]
    return value


@lru_cache(maxsize=4096)
def _compiled(text: str) -> tuple[Any, Any]:
    import jinja2

    from localprompt.rendering.budget import Limits
    from localprompt.rendering.environment import TracingEnvironment, compile_template
    from localprompt.rendering.failures import Place

    place = Place("template")
    environment = TracingEnvironment("template", undefined=jinja2.ChainableUndefined)
    return compile_template(environment, translate_nunjucks(text), place, Limits()), place


def file_value(reference: str, folder: Path, at: At) -> Any:
    """What a ``file://`` value stands for: data of JSON and YAML, otherwise the text.

    Raises:
        DatasetError: it is code, a picture or a document, or cannot be read.
    """
    path = file_path(reference, folder, at)
    if path.suffix in {".json", ".yaml", ".yml"}:
        return read_document(path).data
    return read_text(path).strip()


def file_path(reference: str, folder: Path, at: At) -> Path:
    """The path of a ``file://`` reference to data, relative to the suite's folder.

    Raises:
        DatasetError: it is code, a picture or a document, or is not there.
    """
    path = folder / reference.removeprefix(FILE)
    suffix = ".py" if ".py:" in reference else path.suffix
    if suffix in _CODE:
        raise DatasetError(
            "a value made by code cannot be had", where=str(at), expected="a file with data or text"
        )
    if suffix in _BINARY:
        raise DatasetError(
            f"{suffix} files cannot be put into a prompt", where=str(at), expected="text"
        )
    if not path.is_file():
        raise DatasetError("there is no such file", where=str(at), found=str(path))
    return path


def matching(folder: Path, name: str) -> list[Path]:
    """The file ``name``, or those that match it as a pattern, sorted."""
    if not any(character in name for character in "*?["):
        path = folder / name
        return [path] if path.is_file() else []
    start = Path(name)
    root = Path(start.anchor) if start.is_absolute() else folder
    pattern = str(start.relative_to(start.anchor)) if start.is_absolute() else name
    return sorted(path for path in root.glob(pattern.removeprefix("./")) if path.is_file())


def variable_from_file(path: Path) -> str:
    """A variable's text: JSON of a YAML file, anything else as it is without outer white space.

    Raises:
        DatasetError: it cannot be read.
    """
    if path.suffix in {".yaml", ".yml"}:
        return json.dumps(read_document(path).data, ensure_ascii=False, separators=(",", ":"))
    return read_text(path).strip()


def resolve_references(variables: dict[str, Any]) -> dict[str, Any]:
    """Variables whose text names others (``{{ city }}``), with those put in.

    Only plain names are replaced, as promptfoo does; what a name does not stand for stays.
    """
    if not any(isinstance(value, str) and "{{" in value for value in variables.values()):
        return variables
    resolved = dict(variables)

    def named(match: re.Match[str]) -> str:
        value = resolved.get(match[1])
        return match[0] if value is None else value if isinstance(value, str) else json.dumps(value)

    for _ in range(_PASSES):
        before = dict(resolved)
        for name, value in before.items():
            if isinstance(value, str) and len(value) < 1_000_000:
                resolved[name] = _REFERENCE.sub(named, value)
        if resolved == before:
            break
    return resolved
