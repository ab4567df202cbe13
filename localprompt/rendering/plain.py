"""A template and values → text, for templates that make data and no prompt.

The tasks of lm-evaluation-harness write questions, choices and right answers as Jinja2. They run in
the sandbox of prompt files, with its limits; nobody asks which character came from where.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from localprompt.rendering.budget import Limits

if TYPE_CHECKING:
    import jinja2

    from localprompt.rendering.failures import Place

Filters = tuple[tuple[str, Callable[..., Any]], ...]
"""Further filters: name and function."""


def render_plain(body: str, values: Mapping[str, Any], place: Place, filters: Filters = ()) -> str:
    """The text of a template; a name without a value is an error.

    Raises:
        PromptFileError: the template has an error, or uses a name that has no value.
        TemplateLimitError: it runs or grows without end.
    """
    from localprompt.rendering.environment import run

    limits = Limits()
    return "".join(str.__str__(run(_compiled(body, place, filters, limits), values, place, limits)))


@functools.cache
def _environment(filters: Filters) -> Any:
    import jinja2

    from localprompt.rendering.environment import TracingEnvironment

    environment = TracingEnvironment(
        "template", keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(filters)
    return environment


@functools.lru_cache(maxsize=32)
def _compiled(body: str, place: Place, filters: Filters, limits: Limits) -> jinja2.Template:
    from localprompt.rendering.environment import compile_template

    return compile_template(_environment(filters), body, place, limits)
