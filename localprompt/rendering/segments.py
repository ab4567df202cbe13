"""A prompt's body and its values → segments: text with its origin.

The joined segments are what plain Jinja2 would have rendered. Each of them is either the
template's own words (``source`` is None) or came from a value, and then names the parameter, also
after it went through ``{% set %}``, a macro, a loop or a filter. Text that came from several
parameters at once (``"%s/%s"|format(a, b)``) names them all, as ``a, b``.

Kinds of undefined variables: a name that nobody declared is an error that says where; a parameter
that its file declares as optional renders empty; with ``lenient`` everything undefined does, as in
Prompty.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from localprompt.errors import ParameterError
from localprompt.records.prompt import Segment
from localprompt.rendering.budget import Limits
from localprompt.rendering.traced import to_segments, trace_values

if TYPE_CHECKING:
    import jinja2

    from localprompt.rendering.failures import Place

ROLE_LIKE = re.compile(
    r"^[^\S\n]*+(?:#\s*+)?(?:system|user|assistant|developer)\s*+(?:\[[^\]\n]*+\])?\s*+:",
    re.IGNORECASE | re.MULTILINE,
)
"""The beginning of what a role line looks like, wherever a line begins."""


def render_segments(
    body: str,
    values: Mapping[str, Any],
    *,
    strict: Collection[str] = (),
    optional: Collection[str] = (),
    lenient: bool = False,
    place: Place | None = None,
    limits: Limits | None = None,
) -> tuple[Segment, ...]:
    """Render a template into segments.

    Args:
        body: Jinja2 text.
        values: by name; plain data.
        strict: names whose values must not look like a role line.
        optional: names that render empty where they have no value.
        lenient: every undefined variable renders empty.
        place: where the body stands, for messages.
        limits: what the rendering may cost.

    Raises:
        PromptFileError: the template has an error, or uses an undefined variable.
        TemplateLimitError: it runs or grows without end.
        ParameterError: a strict value looks like a role line.
    """
    import jinja2

    from localprompt.rendering.environment import run
    from localprompt.rendering.failures import Place

    place = place or Place("<template>")
    limits = limits or Limits()
    for name in strict:
        _refuse_role_lines(name, values.get(name))
    traced = {name: _traced(name, value) for name, value in values.items()}
    for name in optional:
        traced.setdefault(name, jinja2.Undefined(name=name))
    segments = to_segments(run(_compiled(body, lenient, place, limits), traced, place, limits))
    for segment in segments:
        if segment.source in strict:
            _refuse_role_lines(segment.source, segment.text)
    return segments


def undeclared_variables(body: str, place: Place | None = None) -> dict[str, int]:
    """The variables that a template reads and does not set itself → line of the first use.

    Raises:
        PromptFileError: the template cannot be read.
    """
    from jinja2 import meta, nodes

    from localprompt.rendering.environment import parse_template
    from localprompt.rendering.failures import Place, mapped_errors

    place = place or Place("<template>")
    tree = parse_template(_environment(False), body, place)
    with mapped_errors(place, ()):  # unknown filters and tests
        wanted = meta.find_undeclared_variables(tree)
    lines: dict[str, int] = {}
    for name in tree.find_all(nodes.Name):
        if name.name in wanted:
            lines.setdefault(name.name, name.lineno + place.first_line - 1)
    return lines


@functools.cache
def _environment(lenient: bool) -> Any:
    import jinja2

    from localprompt.rendering.environment import TracingEnvironment

    undefined = jinja2.Undefined if lenient else jinja2.StrictUndefined
    return TracingEnvironment("template", keep_trailing_newline=True, undefined=undefined)


@functools.lru_cache(maxsize=32)
def _compiled(body: str, lenient: bool, place: Place, limits: Limits) -> jinja2.Template:
    """Compiling takes longer than rendering; an evaluation renders one body a thousand times."""
    from localprompt.rendering.environment import compile_template

    return compile_template(_environment(lenient), body, place, limits)


def _traced(name: str, value: Any) -> Any:
    try:
        return trace_values(value, "variable", name)
    except RecursionError:
        raise ParameterError(f"the value of {name!r} is nested too deeply") from None


def _refuse_role_lines(name: str | None, value: Any) -> None:
    for text in _texts(value):
        found = ROLE_LIKE.search(text)
        if found is not None:
            raise ParameterError(
                f"the strict input {name!r} contains what looks like a role line",
                expected="a value without lines such as 'system:'",
                found=repr(text[found.start() : found.start() + 40].strip()),
            )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
