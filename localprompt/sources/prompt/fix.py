"""Bring a prompt file into v2's long form without touching what is right in it.

Only top-level keys whose value changes are written anew; every other line, the body above all,
stays as it is, byte for byte. Comments inside of a block that is written anew move in front of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localprompt.errors import PromptFileError
from localprompt.files import written_whole
from localprompt.sources.prompt.document import RawDocument, read_raw
from localprompt.sources.prompt.front_matter import parse_yaml
from localprompt.sources.prompt.properties import long_form
from localprompt.sources.prompt.schemas import is_json_schema
from localprompt.sources.prompt.v1 import modernize
from localprompt.sources.yaml import dump_yaml


def fix(path: Path | str) -> bool:
    """Rewrite a prompt file in v2's long form, in one step; returns whether it had to change.

    Raises:
        PromptFileError: the file cannot be read, or is wrong in a way that this cannot mend.
    """
    path = Path(path)
    text = fixed_text(path)
    if text is None:
        return False
    try:
        with written_whole(path) as file:
            file.write(text)
    except OSError as error:
        raise PromptFileError(
            f"cannot write the file: {error.strerror}", where=str(path)
        ) from error
    return True


def fixed_text(path: Path) -> str | None:
    """What :func:`fix` would write; None where there is nothing to do.

    Raises:
        PromptFileError: as :func:`fix`.
    """
    raw = read_raw(path)
    modern = _long(raw, modernize(raw.data)[0])
    if modern == raw.data or raw.matter.yaml is None:
        return None
    newline = "\r\n" if b"\r\n" in raw.bytes else "\n"
    lines = raw.bytes.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = raw.matter.yaml_line - 1
    last = first + raw.matter.yaml.count("\n") + 1
    if lines[first - 1].strip() not in ("---", "+++"):
        raise PromptFileError(
            "the front matter is all on one line; put each key on its own line", where=str(path)
        )
    merged_in = [key for key in raw.data if (key,) not in raw.lines.lines]
    rewritten = [] if merged_in else _rewritten(lines[first:last], raw, modern)
    if merged_in or parse_yaml("\n".join(rewritten), str(path))[0] != modern:
        raise PromptFileError(
            "the front matter is written in a way that has to be fixed by hand", where=str(path)
        )
    return newline.join([*lines[:first], *rewritten, *lines[last:]])


def _long(raw: RawDocument, modern: dict[str, Any]) -> dict[str, Any]:
    for key in ("inputs", "outputs"):
        value = modern.get(key)
        if isinstance(value, Mapping) and not is_json_schema(value):
            modern[key] = long_form(value, (key,), raw.lines)
    return modern


def _rewritten(lines: list[str], raw: RawDocument, modern: Mapping[str, Any]) -> list[str]:
    """The front matter's lines, changed blocks replaced, new ones at the end."""
    starts = {raw.lines.lines[(key,)] - raw.matter.yaml_line: key for key in raw.data}
    result: list[str] = []
    block: list[str] = []
    current: str | None = None
    for number, line in enumerate([*lines, ""]):
        if number in starts or number == len(lines):
            result += _block(block, current, raw.data, modern)
            block, current = [], starts.get(number)
        if number < len(lines):
            block.append(line)
    for key in modern:
        if key not in raw.data:
            result += _dumped(key, modern[key])
    return result


def _block(
    lines: list[str], key: str | None, old: Mapping[str, Any], modern: Mapping[str, Any]
) -> list[str]:
    if key is None or (key in modern and modern[key] == old[key]):
        return lines
    comments = [line for line in lines if line.lstrip().startswith("#")]
    if key not in modern:
        return comments
    return [*(line.lstrip() for line in comments), *_dumped(key, modern[key])]


def _dumped(key: str, value: Any) -> list[str]:
    return dump_yaml({key: value}).rstrip("\n").split("\n")
