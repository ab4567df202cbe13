"""A prompt template and its parameters → messages: the first stage of every run.

    fill_defaults ─▶ render_segments ─▶ parse_messages ─▶ with_nearest

Pure: the file was read before, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from localprompt.errors import ParameterError, PromptFileError
from localprompt.records.prompt import InputSpec, Message, PromptTemplate, Segment
from localprompt.rendering.nearest import with_nearest
from localprompt.rendering.roles import parse_messages, read_thread, thread_marker
from localprompt.rendering.segments import render_segments
from localprompt.rendering.traced import traced


def render_messages(
    template: PromptTemplate, params: Mapping[str, Any], *, lenient: bool = False
) -> tuple[Message, ...]:
    """Render a prompt for given parameters.

    Args:
        template: as it was read from its file.
        params: values by name, already of the declared kinds; defaults are filled in here.
        lenient: Prompty's behaviour: what is missing or undefined renders empty.

    Raises:
        PromptFileError: the template has an error, uses an undefined variable, or asks for
            something that localprompt does not do.
        TemplateLimitError: it runs or grows without end.
        ParameterError: a value is missing, or a strict one looks like a role line.
    """
    values = fill_defaults(template.inputs, params, lenient=lenient, where=_where(template))
    threads = {
        spec.name: read_thread(spec.name, values.get(spec.name))
        for spec in template.inputs
        if spec.kind == "thread"
    }
    messages = parse_messages(_segments(template, values, lenient), threads)
    if template.examples is None:
        return messages
    plain = msgspec.structs.replace(template, examples=None)
    return with_nearest(
        messages,
        template.examples,
        params,
        lambda solved: render_messages(plain, {**params, **solved}, lenient=lenient),
    )


def render_body(
    template: PromptTemplate, params: Mapping[str, Any], *, lenient: bool = False
) -> tuple[Segment, ...]:
    """The rendering before it is cut into messages; a thread shows as its marker.

    Raises:
        as :func:`render_messages`.
    """
    values = fill_defaults(template.inputs, params, lenient=lenient, where=_where(template))
    return _segments(template, values, lenient)


def fill_defaults(
    inputs: Sequence[InputSpec],
    params: Mapping[str, Any],
    *,
    lenient: bool = False,
    where: str | None = None,
) -> dict[str, Any]:
    """The parameters with the defaults of those that were not given.

    An optional parameter without a default stays out.

    Raises:
        ParameterError: a required one is missing. With ``lenient`` only those count as required
            whose file says ``required: true``.
    """
    values = dict(params)
    missing = []
    for spec in inputs:
        if spec.name in values:
            continue
        if spec.default is not None:
            values[spec.name] = spec.default
        elif spec.insisted if lenient else spec.required:
            missing.append(spec)
    if missing:
        names = ", ".join(spec.name for spec in missing)
        raise ParameterError(
            f"the prompt needs {names}",
            where=where,
            expected="; ".join(_described(spec) for spec in missing),
            next_step=" ".join(f"-p {spec.name}=…" for spec in missing)
            + f" (or -p {missing[0].name}=@FILE)",
        )
    return values


def _segments(
    template: PromptTemplate, values: dict[str, Any], lenient: bool
) -> tuple[Segment, ...]:
    from localprompt.rendering.failures import Place

    if template.unsupported:
        raise PromptFileError(
            f"the prompt uses what localprompt does not support: {'; '.join(template.unsupported)}",
            where=_where(template),
            expected="a text prompt in Jinja2",
        )
    for spec in template.inputs:
        if spec.kind == "thread":
            values[spec.name] = traced(thread_marker(spec.name), "variable", spec.name)
    return render_segments(
        template.body,
        values,
        strict={spec.name for spec in template.inputs if spec.strict},
        optional={spec.name for spec in template.inputs},
        lenient=lenient,
        place=Place(_where(template), template.body_line),
    )


def _where(template: PromptTemplate) -> str:
    return template.path or template.name


def _described(spec: InputSpec) -> str:
    return f"{spec.name}: {spec.description or spec.kind}"
