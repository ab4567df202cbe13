"""Prompts by name: in ``./prompts``, in ``$LOCALPROMPT_HOME/prompts``, in what the package ships.

The name of a prompt is its file's name without ``.prompty``. The first place that has it wins.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from localprompt import doors, paths
from localprompt.errors import PromptFileError, UnknownNameError
from localprompt.records.prompt import PromptTemplate
from localprompt.sources.prompt.file import load_prompt

SUFFIX = ".prompty"
FOLDER = Path("prompts")
"""Relative to the current folder: the first place that is searched."""


class FoundPrompt(msgspec.Struct, frozen=True):
    """A prompt file and the name that it answers to."""

    name: str
    path: Path


def all_prompts() -> tuple[FoundPrompt, ...]:
    """Every prompt that has a name, in order of their names; none is opened."""
    found: dict[str, FoundPrompt] = {}
    for folder in paths.search_path("prompts"):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if doors.is_file(path):
                found.setdefault(path.stem, FoundPrompt(path.stem, path))
    return tuple(found[name] for name in sorted(found))


class ListedPrompt(msgspec.Struct, frozen=True):
    """A prompt that can be run by name."""

    name: str
    place: str
    """Where it was found: ``here`` (./prompts), ``home`` ($LOCALPROMPT_HOME),
    ``shared`` (for all users of this machine) or ``shipped``."""
    template: PromptTemplate


def read_prompts() -> tuple[tuple[ListedPrompt, ...], tuple[PromptFileError, ...]]:
    """Every prompt that has a name, read; and what is wrong with those that cannot be."""
    shared = paths.shared()
    places = {
        paths.shipped("prompts"): "shipped",
        **({} if shared is None else {shared / "prompts": "shared"}),
        paths.home() / "prompts": "home",
        Path.cwd() / FOLDER: "here",
    }
    listed, problems = [], []
    for found in all_prompts():
        try:
            template = load_prompt(found.path)
        except PromptFileError as error:
            problems.append(error)
        else:
            listed.append(ListedPrompt(found.name, places[found.path.parent], template))
    return tuple(listed), tuple(problems)


def find_prompt(name: str) -> Path:
    """The file of a prompt given by name or by path.

    What contains a separator or ends in ``.prompty`` is a path; the file may still be missing,
    which :func:`load_named_prompt` tells.

    Raises:
        UnknownNameError: no prompt has that name.
    """
    if name.endswith(SUFFIX) or os.sep in name or "/" in name:
        return Path(name)
    for folder in paths.search_path("prompts"):
        path = folder / f"{name}{SUFFIX}"
        if doors.is_file(path):
            return path
    is_text = " " in name.strip()
    raise UnknownNameError(
        f"there is no prompt {name if len(name) <= 60 else f'{name[:59]}…'!r}",
        nearest=() if is_text else nearest(name, (prompt.name for prompt in all_prompts())),
        next_step="localprompt ask TEXT, for a prompt typed in place"
        if is_text
        else "localprompt prompts list",
    )


def load_named_prompt(name: str) -> PromptTemplate:
    """Find a prompt by name or path and read it.

    Raises:
        UnknownNameError: no prompt has that name.
        PromptFileError: the file cannot be read as one.
    """
    return load_prompt(find_prompt(name))


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """What somebody who typed ``name`` may have meant, best first."""
    by_lower = {word.lower(): word for word in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    return tuple(by_lower[word] for word in close)
