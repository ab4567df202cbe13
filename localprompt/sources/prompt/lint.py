"""What is wrong, or likely to be, in a prompt file, found without running it.

A finding has a code, so that it can be looked up and talked about:

========================  ===========================================================
``error``                 the file cannot be loaded or its template cannot be read
``v1-key``                a word of the format's first version (fixable)
``short-form``            inputs or outputs that are not written out (fixable)
``unknown-key``           a key that v2 does not define where it stands
``undeclared-variable``   the body uses a variable that ``inputs`` does not declare
``unused-input``          ``inputs`` declares a parameter that the body does not use
``role-typo``             a line that looks like a misspelt role line
``no-role``               the body has no role line; all of it becomes the system's
``choices-unannounced``   ``choices`` is set and the body names none of them
``checked-late``          a part of the schema that an answer is not held to, only checked for
``unsupported``           something that localprompt does not do
========================  ===========================================================
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from localprompt import doors
from localprompt.errors import PromptFileError
from localprompt.records.prompt import PromptTemplate
from localprompt.sources.prompt.document import RawDocument, read_raw
from localprompt.sources.prompt.file import template_from
from localprompt.sources.prompt.schemas import is_json_schema
from localprompt.sources.prompt.search import nearest
from localprompt.sources.prompt.v1 import modernize
from localprompt.sources.yaml import KeyPath

_ROLES = ("system", "user", "assistant", "developer")
_OTHER_NAMES = {"human": "user", "ai": "assistant", "bot": "assistant", "model": "assistant"}
_LONE_WORD = re.compile(r"^[^\S\n]*+(?:#[^\S\n]*+)?([A-Za-z]++)[^\S\n]*+:[^\S\n]*+$", re.MULTILINE)
_ROLE_LINE = re.compile(
    rf"^[^\S\n]*+(?:#[^\S\n]*+)?(?:{'|'.join(_ROLES)})(?:\[[^\n]*\])?[^\S\n]*+:[^\S\n]*+$",
    re.IGNORECASE | re.MULTILINE,
)

_PROPERTY = (
    "name kind description required nullable default example enumValues strict items "
    "properties oneOf anyOf"
)
_KNOWN: dict[KeyPath, frozenset[str]] = {
    (): frozenset(
        "name displayName description metadata model inputs outputs tools template".split()  # noqa: SIM905
    ),
    ("model",): frozenset("id provider apiType connection options".split()),  # noqa: SIM905
    ("model", "options"): frozenset(
        "temperature maxOutputTokens topP topK minP frequencyPenalty presencePenalty seed "  # noqa: SIM905
        "stopSequences allowMultipleToolCalls additionalProperties reasoningEffort".split()
    ),
    ("template",): frozenset({"format", "parser"}),
    ("metadata", "localprompt"): frozenset(
        {"cases", "choices", "grammar", "scoring", "bias", "label_words"} | {"examples", "improved"}
    ),
}


class Finding(msgspec.Struct, frozen=True):
    """One thing that the author should know."""

    line: int
    code: str
    message: str
    fixable: bool = False
    """``prompts lint --fix`` puts it right."""


Form = Callable[[PromptTemplate], Iterable[tuple[str, str]]]
"""Says of a prompt which parts of its schema hold only at the end of an answer: the part's place
as ``properties.age``, and words. Raises a PromptFileError for a schema that cannot be followed.
What holds answers is not known here; who asks for lint passes it."""


def no_form(template: PromptTemplate) -> Iterable[tuple[str, str]]:
    """Says nothing."""
    return ()


def lint(path: Path | str, form: Form = no_form) -> tuple[Finding, ...]:
    """Look through a prompt file; in order of its lines.

    Never raises for what is wrong with the file's content: that is a finding.

    Raises:
        PromptFileError: there is no such file, or it cannot be opened.
    """
    path = Path(path)
    if not doors.is_file(path):
        read_raw(path)
    try:
        raw = read_raw(path)
    except PromptFileError as error:
        return (_as_finding(error),)
    findings = [*_old_words(raw), *_unknown_keys(raw)]
    try:
        template = template_from(raw)
        findings += [*_variables(template, raw), *_roles(template), *_choices(template, raw)]
        findings += [*_late(template, raw, form)]
        findings += [Finding(1, "unsupported", f"not done: {it}") for it in template.unsupported]
    except PromptFileError as error:
        findings.append(_as_finding(error))
    return tuple(sorted(findings, key=lambda finding: finding.line))


def _as_finding(error: PromptFileError) -> Finding:
    line = re.search(r":(\d+)(?: |$)", error.where or "")
    parts = [error.message]
    parts += [f"expected {error.expected}"] if error.expected else []
    parts += [f"found {error.found}"] if error.found else []
    return Finding(int(line.group(1)) if line else 1, "error", "; ".join(parts))


def _line(raw: RawDocument, path: KeyPath) -> int:
    for length in range(len(path), 0, -1):
        if path[:length] in raw.lines.lines:
            return raw.lines.lines[path[:length]]
    return raw.matter.yaml_line


def _old_words(raw: RawDocument) -> Iterator[Finding]:
    modern, changes = modernize(raw.data)
    for change in changes:
        key = ".".join(map(str, change.path))
        yield Finding(_line(raw, change.path), "v1-key", f"{key} is now {change.now}", fixable=True)
    renamed = {change.path[0] for change in changes}
    for key in ("inputs", "outputs"):
        value = modern.get(key)
        if isinstance(value, Mapping) and key not in renamed and not is_json_schema(value):
            yield Finding(
                _line(raw, (key,)),
                "short-form",
                f"{key} is not a list of {{name, kind, …}}",
                fixable=True,
            )


def _unknown_keys(raw: RawDocument) -> Iterator[Finding]:
    modern, changes = modernize(raw.data)
    old = {change.path for change in changes}
    for path, known in _KNOWN.items():
        value: Any = modern
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, Mapping):
            for key in value:
                if key not in known and (*path, key) not in old:
                    yield _unknown(raw, (*path, key), known)
    for name in ("inputs", "outputs"):
        value = modern.get(name)
        for index, entry in enumerate(value if isinstance(value, list) else ()):
            for key in entry if isinstance(entry, Mapping) else ():
                if key not in _PROPERTY.split():
                    yield _unknown(raw, (name, index, key), frozenset(_PROPERTY.split()))


def _unknown(raw: RawDocument, path: KeyPath, known: frozenset[str]) -> Finding:
    close = nearest(str(path[-1]), known)
    hint = f"; did you mean {close[0]}?" if close else ""
    return Finding(
        _line(raw, path), "unknown-key", f"{'.'.join(map(str, path))} is not known{hint}"
    )


def _variables(template: PromptTemplate, raw: RawDocument) -> Iterator[Finding]:
    from localprompt.rendering.failures import Place
    from localprompt.rendering.segments import undeclared_variables

    used = undeclared_variables(template.body, Place(str(raw.path), template.body_line))
    declared = {spec.name for spec in template.inputs}
    for name, line in used.items():
        if name not in declared:
            close = nearest(name, declared - used.keys())
            hint = f"; did you mean {close[0]}?" if close else ""
            yield Finding(line, "undeclared-variable", f"{name} is not declared under inputs{hint}")
    for index, spec in enumerate(template.inputs):
        if spec.name not in used and spec.kind != "thread":
            where = _line(raw, ("inputs", index))
            yield Finding(where, "unused-input", f"the body does not use {spec.name}")


def _roles(template: PromptTemplate) -> Iterator[Finding]:
    if not _ROLE_LINE.search(template.body):
        yield Finding(
            template.body_line,
            "no-role",
            "no role line: everything goes to the system, nothing to the user",
        )
    for word in _LONE_WORD.finditer(template.body):
        name = word.group(1).lower()
        close = difflib.get_close_matches(name, _ROLES, n=1, cutoff=0.75)
        meant = _OTHER_NAMES.get(name) or (close[0] if close and name not in _ROLES else None)
        if meant is not None:
            line = template.body.count("\n", 0, word.start(1)) + template.body_line
            yield Finding(line, "role-typo", f"{word.group().strip()!r} is not a role; {meant}: is")


def _choices(template: PromptTemplate, raw: RawDocument) -> Iterator[Finding]:
    if template.choices and not any(
        choice.lower() in template.body.lower() for choice in template.said
    ):
        yield Finding(
            _line(raw, ("metadata", "localprompt", "choices")),
            "choices-unannounced",
            f"the body names none of the choices: {', '.join(template.said)}",
        )


def _late(template: PromptTemplate, raw: RawDocument, form: Form) -> Iterator[Finding]:
    for place, message in form(template):
        steps: list[str | int] = [
            int(step) if step.isdecimal() else step for step in place.split(".") if step
        ]
        yield Finding(_line(raw, ("outputs", *steps)), "checked-late", message)
