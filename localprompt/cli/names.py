"""Names as people type them: a part that only one has stands for the whole, and shells complete.

What is typed for an argument or an option is known by its metavar: ``MODEL``, ``PROMPT``, ``ID``,
``TYPE``, ``KIND``. So nobody who adds a command has to think of either. Only what is typed is
looked at; a prompt file or a suite names its model in full. A command that deletes takes full
names, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from localprompt import paths
from localprompt.errors import UnknownNameError

LEAST_PART = 2
"""Characters: fewer say nothing."""
_WORD = re.compile(r"[A-Z]+")


def words_of(metavar: str | None) -> tuple[str, ...]:
    """``MODEL|PROVIDER=MODEL`` → its words."""
    return tuple(_WORD.findall(metavar or ""))


def expand(params: Sequence[Any], values: dict[str, Any]) -> None:
    """Put full names in the place of unique parts, in the values of a command's parameters.

    Raises:
        UnknownNameError: a part is of more than one name.
    """
    for param in params:
        words, value = words_of(param.metavar), values.get(param.name)
        word = next((word for word in words if word in _KNOWN), None)
        if word is None or not value:
            continue
        if isinstance(value, str):
            values[param.name] = full_name(value, word)
        elif isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            values[param.name] = [full_name(one, word) for one in value]


def full_name(typed: str, word: str) -> str:
    """The name that ``typed`` is a part of; itself where it is a name, a path, or no part of any.

    Args:
        word: what it is a name of, ``MODEL`` or ``PROMPT``.

    Raises:
        UnknownNameError: it is a part of more than one.
    """
    given, equals, last = typed.rpartition("=")
    part = last.lower()
    if len(part) < LEAST_PART or " " in part or "/" in part or "." in part[:1]:
        return typed
    names = _KNOWN[word]()
    if part in {name.lower() for name in names} or _is_file(last) or _is_alias(part, word):
        return typed
    containing = [name for name in names if part in name.lower()]
    # ``0.5b`` means qwen2.5-coder-0.5b, whatever was made of it since.
    found = [name for name in containing if name.lower().endswith(part)] or containing
    if len(found) > 1:
        raise UnknownNameError(
            f"{last!r} is a part of more than one {word.lower()}'s name", nearest=tuple(found)
        )
    return f"{given}{equals}{found[0]}" if found else typed


def _is_file(text: str) -> bool:
    from localprompt import doors

    return doors.is_file(doors.expand_user(text))


def _is_alias(name: str, word: str) -> bool:
    if word != "MODEL":
        return False
    from localprompt.models.cards import read_catalog

    return any(name in card.aliases for card in read_catalog().cards.values())


def models() -> list[str]:
    """Of the cards, whose files have the models' names; none is opened."""
    return _stems("models", "*.toml")


def prompts() -> list[str]:
    return _stems("prompts", "*.prompty")


def _stems(folder: paths.DataFolder, pattern: str) -> list[str]:
    found = {path.stem for place in paths.search_path(folder) for path in place.glob(pattern)}
    return sorted(found)


_KNOWN: Mapping[str, Callable[[], list[str]]] = {"MODEL": models, "PROMPT": prompts}


def complete(option: str, metavar: str | None) -> list[str]:
    """What may be typed for an option or an argument, by its name and its metavar; nothing: the
    shell offers files."""
    for word in (option, *words_of(metavar)):
        if word in _COMPLETED:
            return _COMPLETED[word]()
    return []


def can_complete(option: str, metavar: str | None) -> bool:
    """Whether anything is known about it."""
    return any(word in _COMPLETED for word in (option, *words_of(metavar)))


def _ids() -> list[str]:
    from localprompt.store.newest import newest_ids

    return ["last", *(id_ for id_, _ in newest_ids(paths.history_path()))]


def _cache_types() -> list[str]:
    from localprompt.gguf.tensor_types import KV_TYPES

    return list(KV_TYPES)


def _file_types() -> list[str]:
    from localprompt.gguf.tensor_types import FILE_TYPES

    return [name.lower() for name in FILE_TYPES.values()]


def _kinds() -> list[str]:
    from localprompt.store.finding import KINDS

    return list(KINDS)


_COMPLETED: Mapping[str, Callable[[], list[str]]] = {
    "--type-k": _cache_types,
    "--type-v": _cache_types,
    "MODEL": models,
    "PROMPT": prompts,
    "ID": _ids,
    "A": _ids,
    "B": _ids,
    "TYPE": _file_types,
    "KIND": _kinds,
}
