"""``${env:NAME}``, ``${env:NAME:default}`` and ``${file:path}`` in a front matter.

A reference is a whole value, not a part of one. It may stand anywhere in the front matter, also in
a file that another reference brought in. Files are looked up beside the prompt and never outside of
its folder, wherever ``..``, an absolute path or a symbolic link may lead: a prompt file is
something that people pass around, and it must not be able to read what it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from localprompt import doors
from localprompt.errors import PromptFileError
from localprompt.sources.prompt.front_matter import KeyLines, words_at
from localprompt.sources.yaml import KeyPath, read_yaml

MOST_BYTES = 4 << 20
"""The largest file that a reference brings in."""
_DEEPEST = 16


class References(msgspec.Struct, frozen=True):
    """What references of one prompt file are resolved against."""

    folder: Path
    """The prompt's; files are looked up in it and below."""
    environment: Mapping[str, str]
    lines: KeyLines

    def resolve(self, value: Any, path: KeyPath = (), depth: int = 0) -> Any:
        """A copy of ``value`` with every reference in it resolved.

        Raises:
            PromptFileError: a variable is not set and has no default; a file is not there, lies
                outside of the folder, or cannot be read.
        """
        if depth > _DEEPEST:
            raise PromptFileError(
                "the references lead back to themselves", where=self.lines.where(path)
            )
        if isinstance(value, dict):
            return {key: self.resolve(item, (*path, key), depth) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, (*path, at), depth) for at, item in enumerate(value)]
        if not (isinstance(value, str) and value.startswith("${") and value.endswith("}")):
            return value
        protocol, _, rest = value[2:-1].partition(":")
        if protocol.lower() == "env":
            return self._variable(rest, path)
        if protocol.lower() == "file":
            return self.resolve(self._file(rest, path), path, depth + 1)
        return value

    def _variable(self, reference: str, path: KeyPath) -> str:
        name, _, default = reference.partition(":")
        value = self.environment.get(name)
        if value is not None:
            return value
        if default:
            return default
        raise PromptFileError(
            f"the environment variable {name!r} is not set",
            where=self.lines.where(path),
            next_step=f"set it, or write ${{env:{name}:default}}",
        )

    def _file(self, reference: str, path: KeyPath) -> Any:
        where = self.lines.where(path)
        file = inside_folder(self.folder, reference, where)
        try:
            text = doors.read_bytes(file, MOST_BYTES).decode("utf-8-sig")
            if file.suffix.lower() == ".json":
                return doors.parse_json(text)
        except FileNotFoundError:
            raise PromptFileError(f"there is no file {reference!r}", where=where) from None
        except (OSError, ValueError) as error:
            raise PromptFileError(
                f"the file {reference!r} cannot be read", where=where, found=str(error)
            ) from error
        if file.suffix.lower() in (".yaml", ".yml"):
            found = read_yaml(
                text, str(file), words=lambda _: words_at(path), error=PromptFileError
            )
            return found.data
        return text


def inside_folder(folder: Path, reference: str, where: str) -> Path:
    """The file that a prompt names, links followed.

    Raises:
        PromptFileError: it lies outside of the folder.
    """
    root = folder.resolve()
    try:
        target = (root / reference).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise PromptFileError(
            f"the path {reference!r} leads nowhere", where=where, found=str(error)
        ) from error
    if not target.is_relative_to(root):
        raise PromptFileError(
            f"the path {reference!r} resolves outside allowed roots",
            where=where,
            expected="a file in the prompt's own folder",
        )
    return target
