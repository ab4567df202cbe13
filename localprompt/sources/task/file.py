"""A task file of lm-evaluation-harness: its YAML over that of the files that it includes.

What cannot be read as keys is refused here by name: Python of the author (``!function``), and
groups of tasks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from localprompt import doors
from localprompt.errors import DatasetError
from localprompt.sources.documents import read_document, read_text
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.yaml import At

_FUNCTION = re.compile(r"^[ \t-]*(?:(\w+)\s*:\s*)?!function\s+[\"']?([\w./]+)", re.MULTILINE)
_OF_TASKS = ("task", "group", "dataset_path", "dataset_kwargs", "doc_to_text", "output_type")
_OF_SUITES = ("prompts", "providers", "targets", "tests", "scenarios")
_MOST_INCLUDES = 20


class TaskFile(msgspec.Struct, frozen=True):
    """The keys of a task."""

    data: dict[str, Any]
    at: At
    sha256: str
    """Of the file and of all that it includes."""


def is_task(path: Path) -> bool:
    """Whether a YAML file is a task, or a group of tasks, and no suite of ours."""
    text = read_text(path)
    return _has_key(text, _OF_TASKS) and not _has_key(text, _OF_SUITES)


def read_task_file(path: Path, folder: SuiteFolder) -> TaskFile:
    """
    Raises:
        DatasetError: a file is not there, is no task, or runs its author's Python.
    """
    texts: list[str] = []
    data, at = _merged(path, folder, texts)
    whole = "\0".join(texts).encode("utf-8", "surrogatepass")
    return TaskFile(data, at, hashlib.sha256(whole).hexdigest())


def _has_key(text: str, names: tuple[str, ...]) -> bool:
    key = rf"^([\"']?)(?:{'|'.join(names)})\1[^\S\n]*+:"
    return re.search(key, text, re.MULTILINE) is not None


def _merged(path: Path, folder: SuiteFolder, texts: list[str]) -> tuple[dict[str, Any], At]:
    """The file's keys over those of the files that it includes, whose texts are collected."""
    text = read_text(path)
    texts.append(text)
    _refuse_functions(text, path)
    document = read_document(path, allow=folder.allow)
    data, at = document.data, document.at
    if not isinstance(data, dict):
        raise DatasetError("not a task", where=str(path), expected="a mapping with task")
    if isinstance(data.get("task"), list) or ("group" in data and "task" not in data):
        raise _group(data, at)  # beside a task's name, group is what older releases call a tag
    merged: dict[str, Any] = {}
    includes = data.pop("include", None) or []
    for name in includes if isinstance(includes, list) else [includes]:
        where, other = str(at / "include"), path.parent / str(name)
        if len(texts) > _MOST_INCLUDES:
            raise DatasetError("too many includes, or they lead back to themselves", where=where)
        if not doors.is_file(other):
            raise DatasetError("no such file", where=where, found=str(other))
        merged |= _merged(folder.allow(other, where), folder, texts)[0]
    return {**merged, **data}, at


def _refuse_functions(text: str, path: Path) -> None:
    """
    Raises:
        DatasetError: the file calls Python of its author.
    """
    found = list(_FUNCTION.finditer(text))
    if found:
        line = text.count("\n", 0, found[0].start()) + 1
        raise DatasetError(
            "the task runs Python of its author (!function), which is not supported",
            where=f"{path}:{line}",
            expected="templates and columns; write what the function makes into the data",
            found=", ".join(f"{match[1] or 'an item'}: {match[2]}" for match in found),
        )


def _group(data: Mapping[str, Any], at: At) -> DatasetError:
    members = data.get("task")
    names = members if isinstance(members, list) else [members] if members else []
    shown = ", ".join(str(n.get("task", n) if isinstance(n, dict) else n) for n in names[:8])
    return DatasetError(
        f"a group of tasks: {data.get('group') or 'without a name'}",
        where=str(at),
        expected="one task a file",
        found=shown or "a group",
        next_step="localprompt eval TASK.yaml for each of its tasks",
    )
