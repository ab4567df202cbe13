"""Wordings of a prompt: its own, the user's, and structural rewrites that need no model; pure.

A small model depends on form more than on words: where the instruction stands, whether the input
has a name before it, and above all what the prompt ends with. On the reviews of the benchmarks a
cue at the end (``Sentiment:``) was worth 34 points to the starter model. So those are what is
varied; the words stay the author's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from localprompt import doors
from localprompt.errors import InputError
from localprompt.improve.turns import MOST_CUE, Field, Simple, Turn, body_of, simple
from localprompt.records.prompt import PromptTemplate
from localprompt.rendering.segments import undeclared_variables

AS_IT_IS = "as it is"
_MOST_CUES = 2
MOST_WORDINGS = 100
"""Of a user's own; each is raced."""
_WORD = re.compile(r"[a-z]{4,}")
_BETWEEN = re.compile(r"^---[ \t]*+$", re.MULTILINE)
_ROLE_LINE = re.compile(r"^[^\S\n]*+(?:system|user|assistant)[^\S\n]*+:[^\S\n]*+$", re.MULTILINE)
_PLAIN_WORDS = frozenset(
    {"answer", "classify", "extract", "find", "from", "give", "into", "label", "make", "plain"}
    | {"prompt", "read", "rewrite", "shot", "simple", "summarize", "tell", "test", "text"}
    | {"this", "translate", "what", "when", "with", "without"}
)


class Wording(msgspec.Struct, frozen=True):
    """A template's text, and what was changed for it."""

    name: str
    """In words, as ``instruction first, cue 'Sentiment:'``."""
    body: str
    words: tuple[tuple[str, str], ...] = ()
    """What the model says for each choice, where that is another word; see ``labels``."""


def rewrites(template: PromptTemplate) -> tuple[Wording, ...]:
    """The structural rewrites of a prompt, without its own wording; none where its template is
    not simple."""
    parts = simple(template.body)
    if parts is None:
        return ()
    found: dict[str, Wording] = {}
    for wording in _variations(parts, template):
        found.setdefault(_plain(wording.body), wording)
    found.pop(_plain(template.body), None)
    return tuple(found.values())


def _variations(parts: Simple, template: PromptTemplate) -> Iterator[Wording]:
    cues = _cues(parts, template)
    for cue in cues:
        for place in ("system", "first", "last", "none"):
            for asking in (True, False) if parts.question and parts.instruction else (True,):
                if place == "none" and (cue is None or asking is False):
                    continue
                yield built(parts, template, place=place, cue=cue, asking=asking)
    best = parts.cue or cues[-1]
    if template.choices:
        for place in ("system", "first"):
            yield built(parts, template, place=place, cue=best, asking=False, listed=True)
        named = _with_labels(best or "Answer", template.said)
        for place in ("system", "first", "none") if named else ():
            yield built(parts, template, place=place, cue=named, asking=False)
    if parts.instruction:
        yield built(parts, template, place="both", cue=best, asking=False)
    if any(field.label for field in parts.fields):
        yield built(parts, template, place="system", cue=None, asking=False, named=False)
    if parts.examples:
        bare = msgspec.structs.replace(parts, examples=())
        for cue in (parts.cue, best):
            yield built(bare, template, place="system", cue=cue, asking=True, shown="no examples")


def built(
    parts: Simple,
    template: PromptTemplate,
    *,
    place: str,
    cue: str | None,
    asking: bool,
    listed: bool = False,
    named: bool = True,
    shown: str = "",
) -> Wording:
    """The prompt, put together in another way.

    Args:
        place: where the instruction stands: ``system``, ``first`` or ``last`` in the user's turn,
            ``both``: in the system's and last in the user's, ``none``: left out.
        asking: whether the question beside the inputs stays.
        listed: spell the choices out.
        named: put a name before each input.
    """
    told = [] if place == "none" else [parts.instruction] if parts.instruction else []
    question = [parts.question] if parts.question and (asking or not told) else []
    if place == "none":
        question = []
    if listed:
        told.append(f"Possible answers: {', '.join(template.said)}.")
    inputs = [_input(field, named) for field in parts.fields]
    end = [f"{cue}:"] if cue else []
    turns: list[Turn] = []
    if place in ("system", "both") and told:
        turns.append(Turn("system", "\n".join(told)))
    turns += _with_cue(parts.examples, parts.cue, cue)
    first = told if place == "first" else []
    last = told if place in ("last", "both") else []
    lines = [*_blocks(first), *inputs, *_blocks(question + last, behind=True), *end]
    turns.append(Turn("user", "\n".join(lines).strip("\n")))
    where = {
        "system": "instruction from the system",
        "first": "instruction first",
        "last": "instruction last",
        "both": "instruction from the system and last",
        "none": "no instruction",
    }[place]
    name = [where]
    if parts.question and parts.instruction and place != "none":
        name.append("with its question" if asking else "without its question")
    name += ["labels listed"] if listed else []
    name += [] if named else ["input bare"]
    name += [f"cue '{cue}:'"] if cue else ["no cue"]
    name += [shown] if shown else []
    return Wording(", ".join(name), body_of(turns), tuple(template.label_words.items()))


def _blocks(lines: Sequence[str], *, behind: bool = False) -> list[str]:
    if not lines:
        return []
    return ["\n".join(lines)] if behind else ["\n".join(lines), ""]


def _input(field: Field, named: bool) -> str:
    label = field.label or field.name.replace("_", " ").capitalize()
    variable = f"{{{{ {field.name} }}}}"
    return f"{label}: {variable}" if named else variable


def _with_cue(examples: Sequence[Turn], own: str | None, cue: str | None) -> list[Turn]:
    """The prompt's own examples with the same end as its last turn."""
    changed = []
    for turn in examples:
        text = turn.text
        if turn.role == "user":
            if own and text.endswith(f"\n{own}:"):
                text = text.removesuffix(f"\n{own}:")
            text = f"{text}\n{cue}:" if cue else text
        changed.append(Turn(turn.role, text))
    return changed


def _with_labels(cue: str, choices: Sequence[str]) -> str | None:
    """The cue with the choices in brackets, as ``Sentiment (positive or negative)``; None where
    that is longer than a cue should be."""
    named = f"{cue} ({', '.join(choices[:-1])} or {choices[-1]})" if len(choices) > 1 else ""
    return named if 0 < len(named) <= MOST_CUE else None


def _cues(parts: Simple, template: PromptTemplate) -> list[str | None]:
    """What a prompt could end with: nothing, its own cue, ``Answer``, what its name says."""
    named = names_of_answer(template, [field.name for field in parts.fields])
    cues = [parts.cue, "Answer", *(name.capitalize() for name in named[:_MOST_CUES])]
    return [None, *dict.fromkeys(cue for cue in cues if cue)]


def names_of_answer(template: PromptTemplate, inputs: Sequence[str]) -> list[str]:
    """What the answer may be called: the one field of its schema, then the words of the prompt's
    name, as *sentiment* of ``classify-sentiment``; in lower case."""
    words = _WORD.findall(template.name.lower())
    taken = {name.lower() for name in inputs}
    named = [word for word in words if word not in _PLAIN_WORDS and word not in taken]
    schema = (template.output_schema or {}).get("properties") or {}
    if len(schema) == 1:
        named.insert(0, next(iter(schema)).lower())
    return named


def read_wordings(path: Path, template: PromptTemplate) -> tuple[Wording, ...]:
    """The user's own wordings: templates between lines of ``---``, each with a name on a line
    that begins with ``#`` if it likes.

    Raises:
        InputError: the file cannot be read, or a wording does not name the prompt's variables.
    """
    text = doors.read_text(path, most_bytes=doors.MOST_SMALL_BYTES)
    found: list[Wording] = []
    line = 1
    for number, block in enumerate(_BETWEEN.split(text), start=1):
        if block.strip():
            if len(found) >= MOST_WORDINGS:
                raise InputError(
                    "too many wordings",
                    where=f"{path}:{line}",
                    expected=f"at most {MOST_WORDINGS}",
                )
            found.append(_own(block, number, f"{path}:{line}", template))
        line += block.count("\n")
    if not found:
        raise InputError(
            "the file has no wordings",
            where=str(path),
            expected="prompts, one after the other, with a line of --- between them",
        )
    return tuple(found)


def _own(block: str, number: int, where: str, template: PromptTemplate) -> Wording:
    lines = block.strip("\n").split("\n")
    name = f"wording {number}"
    if lines[0].startswith("# "):
        name = lines.pop(0).removeprefix("# ").strip() or name
    body = "\n".join(lines).strip("\n") + "\n"
    if not _ROLE_LINE.search(body):
        body = f"user:\n{body}"
    check_variables(body, template, where)
    return Wording(name, body, tuple(template.label_words.items()))


def check_variables(body: str, template: PromptTemplate, where: str) -> None:
    """
    Raises:
        InputError: the body does not use the variables that the prompt does.
        PromptFileError: it is not a template.
    """
    wanted = set(undeclared_variables(template.body))
    named = set(undeclared_variables(body))
    declared = {spec.name for spec in template.inputs} | wanted
    if wanted - named or named - declared:
        raise InputError(
            "the wording does not have the prompt's variables",
            where=where,
            expected=" ".join(f"{{{{ {name} }}}}" for name in sorted(wanted)),
            found=" ".join(f"{{{{ {name} }}}}" for name in sorted(named)) or "none",
        )


def _plain(body: str) -> str:
    return " ".join(body.split())
