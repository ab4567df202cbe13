"""``-p name=value`` → typed values for a prompt's inputs.

A value is the text after ``=``, or with ``@`` the content of a file; ``@@`` stands for a text that
begins with ``@``. What kind of value it has to be is what the prompt file declares. Rows of a
dataset go through the same conversion, since a csv file holds nothing but text.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from localprompt import doors
from localprompt.errors import ParameterError
from localprompt.records.prompt import InputSpec, PromptTemplate
from localprompt.sources.prompt.search import nearest
from localprompt.sources.yaml import word

MOST_BYTES = 4 << 20
"""The largest file that a parameter is read from: 4 MiB, far beyond any model's n_ctx."""

_WORDS = {
    "true": True, "yes": True, "on": True, "1": True,
    "false": False, "no": False, "off": False, "0": False,
}  # fmt: skip
_INTEGER = re.compile(r"\s*[+-]?\d{1,18}\s*")
_EXPECTED = {
    "integer": "a whole number",
    "float": "a number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a JSON list",
    "object": "a JSON object",
    "thread": "a JSON list of messages",
}
_PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "float": (int, float),
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "thread": list,
}


def parse_params(
    assignments: Sequence[str], template: PromptTemplate, *, stdin: str | None = None
) -> dict[str, Any]:
    """What the user gave → values by name. Defaults and missing ones are the renderer's affair.

    Args:
        assignments: ``name=value`` or ``name=@file`` each.
        template: whose inputs they are; a template that declares none takes what its body uses.
        stdin: text for the one string input that is required and not given; None for none.

    Raises:
        ParameterError: not an assignment, an unknown name, a name twice, a value of the wrong
            kind, a file that cannot be read; or stdin has no place, or more than one.
    """
    specs = {spec.name: spec for spec in template.inputs} or _specs_of_body(template)
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ParameterError(
                "a parameter without a value", expected="-p NAME=VALUE", found=repr(assignment)
            )
        spec = _known(name, specs, template)
        if name in values:
            raise ParameterError(f"the parameter {name!r} is given twice", where=f"-p {name}")
        values[name] = parse_value(spec, _text(name, text))
    if stdin is not None:
        spec = stdin_input(template, values)
        values[spec.name] = parse_value(spec, stdin)
    return values


def stdin_input(template: PromptTemplate, given: Iterable[str]) -> InputSpec:
    """The input that a text on stdin is for: the one required string that has no value yet.

    Raises:
        ParameterError: there is none, or more than one.
    """
    given = set(given)
    specs = template.inputs or tuple(_specs_of_body(template).values())
    free = [
        spec for spec in specs if spec.required and spec.kind == "string" and spec.name not in given
    ]
    if len(free) == 1:
        return free[0]
    raise ParameterError(
        "it is not clear which parameter stdin is for"
        if free
        else "the prompt has no parameter left for stdin",
        where=template.path or template.name,
        expected="one required string input without a value",
        found=", ".join(spec.name for spec in free) or None,
        next_step=" ".join(f"-p {spec.name}=…" for spec in free[1:]) or None,
    )


def required_inputs(template: PromptTemplate) -> tuple[InputSpec, ...]:
    """The inputs that have to be given; of a template that declares none, all that its body uses.

    Raises:
        PromptFileError: the body cannot be read.
    """
    specs = template.inputs or tuple(_specs_of_body(template).values())
    return tuple(spec for spec in specs if spec.required)


def typed_values(values: Mapping[str, Any], template: PromptTemplate) -> dict[str, Any]:
    """A row of a dataset → values by name, texts converted where another kind is declared.

    Names that the prompt does not declare are kept as they are.

    Raises:
        ParameterError: a value of the wrong kind.
    """
    specs = {spec.name: spec for spec in template.inputs}
    typed = {}
    for name, value in values.items():
        spec = specs.get(name)
        if spec is None:
            typed[name] = value
        elif isinstance(value, str):
            typed[name] = parse_value(spec, value)
        else:
            typed[name] = check_value(spec, value)
    return typed


def parse_value(spec: InputSpec, text: str) -> Any:
    """A text → a value of the input's kind.

    Raises:
        ParameterError: it is not one, or not among the ``enumValues``.
    """
    kind = spec.kind
    value: Any = text
    try:
        if kind == "integer" and _INTEGER.fullmatch(text):
            value = int(text)
        elif kind in ("float", "number") and "_" not in text:  # Python's 1_000 is nobody else's
            value = int(text) if _INTEGER.fullmatch(text) else float(text)
        elif kind == "boolean":
            value = _WORDS[text.strip().lower()]
        elif kind in ("array", "object", "thread"):
            value = doors.parse_json(text)
    except (KeyError, ValueError, RecursionError):
        raise _wrong(spec, text) from None
    return check_value(spec, value)


def check_value(spec: InputSpec, value: Any) -> Any:
    """The value, which has to be of the input's kind and among its ``enumValues``.

    Raises:
        ParameterError: it is not.
    """
    if spec.kind == "string":
        value = word(value)
    wanted = _PYTHON_TYPES.get(spec.kind)
    is_bool = isinstance(value, bool) and spec.kind != "boolean"
    endless = isinstance(value, float) and not math.isfinite(value)
    if wanted is not None and (not isinstance(value, wanted) or is_bool or endless):
        raise _wrong(spec, value)
    if spec.enum_values and value not in spec.enum_values:
        close = nearest(str(value), map(str, spec.enum_values))
        raise ParameterError(
            f"{spec.name!r} cannot be {_shown(value)}",
            where=f"-p {spec.name}",
            expected=f"one of: {', '.join(map(str, spec.enum_values))}",
            next_step=f"-p {shlex.quote(f'{spec.name}={close[0]}')}" if close else None,
        )
    return value


def _known(name: str, specs: Mapping[str, InputSpec], template: PromptTemplate) -> InputSpec:
    if name in specs:
        return specs[name]
    close = nearest(name, specs)
    raise ParameterError(
        f"the prompt has no parameter {name!r}",
        where=template.path or template.name,
        expected=f"one of: {', '.join(close or specs)}" if specs else "no parameters",
        next_step=f"-p {close[0]}=…" if close else None,
    )


def _specs_of_body(template: PromptTemplate) -> dict[str, InputSpec]:
    from localprompt.rendering.failures import Place
    from localprompt.rendering.segments import undeclared_variables

    place = Place(template.path or template.name, template.body_line)
    names = undeclared_variables(template.body, place)
    return {name: InputSpec(name, required=True) for name in names}


def _text(name: str, text: str) -> str:
    if text.startswith("@@"):
        return text[1:]
    return _read(name, Path(text[1:])) if text.startswith("@") else text


def _read(name: str, path: Path) -> str:
    where = f"-p {name}=@{path}"
    try:
        data = doors.read_bytes(doors.expand_user(path), MOST_BYTES)
    except OSError as error:
        raise doors.refusal(error, where, ParameterError) from error
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ParameterError("the file is binary", where=where, expected="UTF-8 text")
    return doors.decode(data, where, ParameterError, lines=False)


def _wrong(spec: InputSpec, value: Any) -> ParameterError:
    return ParameterError(
        f"the parameter {spec.name!r} has the wrong type",
        where=f"-p {spec.name}",
        expected=_EXPECTED.get(spec.kind, spec.kind),
        found=_shown(value),
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
