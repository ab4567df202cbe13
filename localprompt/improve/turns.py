"""A prompt's template as its turns, and a simple one as its parts.

Rewriting a template needs to know what each piece of its text is for. That can be told for simple
templates, which are most: an instruction from the system, solved examples perhaps, and a last turn
of the user that names its inputs one by one. Anything with loops or conditions is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

_ROLE = re.compile(
    r"^[^\S\n]*(?:#[^\S\n]*)?(system|user|assistant|developer)[^\S\n]*:[^\S\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
_VARIABLE = re.compile(r"{{-?\s*([A-Za-z_]\w*)\s*-?}}")
_LABEL = re.compile(r"^(?P<label>[^\n:{}]{1,60}):[ \t]*$")
MOST_CUE = 60


class Turn(msgspec.Struct, frozen=True):
    """A stretch of a template under one role line."""

    role: str
    text: str


class Field(msgspec.Struct, frozen=True):
    """An input in the last turn."""

    name: str
    label: str | None
    """What stands before it: ``Review``."""


class Simple(msgspec.Struct, frozen=True):
    """The parts of a simple prompt."""

    instruction: str
    """Of the system; empty where there is none."""
    question: str
    """What the last turn says beside its inputs."""
    fields: tuple[Field, ...]
    cue: str | None
    """What the last turn ends with for the answer to go on from: ``Sentiment``."""
    examples: tuple[Turn, ...] = ()
    """Turns between the instruction and the last one."""


def turns_of(body: str) -> tuple[Turn, ...]:
    """The template, cut at its role lines; text before the first is the system's."""
    marks = list(_ROLE.finditer(body))
    before = body[: marks[0].start()] if marks else body
    found = [Turn("system", before.strip("\n"))] if before.strip() else []
    for at, mark in enumerate(marks):
        end = marks[at + 1].start() if at + 1 < len(marks) else len(body)
        found.append(Turn(mark.group(1).lower(), body[mark.end() : end].strip("\n")))
    return tuple(found)


def body_of(turns: Sequence[Turn]) -> str:
    """Turns as a template."""
    return "\n\n".join(f"{turn.role}:\n{turn.text}" for turn in turns) + "\n"


def simple(body: str) -> Simple | None:
    """The parts of a template; None where it is not simple enough to be told apart."""
    turns = turns_of(body)
    if "{%" in body or "{#" in body or not turns or turns[-1].role != "user":
        return None
    *before, last = turns
    instruction = ""
    if before and before[0].role == "system":
        instruction = before.pop(0).text.strip()
    solved = any(_VARIABLE.search(turn.text) or turn.role == "system" for turn in before)
    if solved or "{{" in _VARIABLE.sub("", instruction + last.text):
        return None
    if _VARIABLE.search(instruction):
        return None
    return _last_turn(last.text, instruction, tuple(before))


def _last_turn(text: str, instruction: str, examples: tuple[Turn, ...]) -> Simple | None:
    """Take the last turn apart, line by line."""
    fields: list[Field] = []
    loose: list[str] = []
    lines = text.strip().split("\n")
    cue = None
    if len(lines) > 1 and (end := _LABEL.match(lines[-1])) and len(lines[-1]) <= MOST_CUE:
        cue = end["label"].strip()
        lines = lines[:-1]
    for line in lines:
        named = list(_VARIABLE.finditer(line))
        if not named:
            loose.append(line)
            continue
        label = _LABEL.match(line[: named[0].start()])
        alone = len(named) == 1 and not line[named[0].end() :].strip()
        if not alone or (line[: named[0].start()].strip() and label is None):
            return None
        own = label["label"].strip() if label else _label_above(loose)
        fields.append(Field(named[0].group(1), own))
    if not fields or len({field.name for field in fields}) != len(fields):
        return None
    question = "\n".join(line for line in loose if line.strip()).strip()
    return Simple(instruction, question, tuple(fields), cue, examples)


def _label_above(loose: list[str]) -> str | None:
    """``Review:`` on a line of its own above the input; taken out of the loose lines."""
    if loose and (label := _LABEL.match(loose[-1])):
        loose.pop()
        return label["label"].strip()
    return None
