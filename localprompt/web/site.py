"""What all pages share: the history, the engine, and the frame around the sections."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from localprompt import __version__
from localprompt.errors import LocalPromptError, UnknownNameError
from localprompt.records.json import well_formed
from localprompt.views.html import ENGLISH
from localprompt.views.sections import Section

if TYPE_CHECKING:
    from localprompt.web.host import Host

PAGES = (("/", "Try"), ("/runs", "Runs"), ("/results", "Results"), ("/models", "Models"))


class Site:
    """The state behind the routes; ``request.app.state.site``.

    Args:
        host: None: read-only, there is no engine.
    """

    def __init__(self, host: Host | None) -> None:
        self.host = host

    @property
    def read_only(self) -> bool:
        return self.host is None


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


def page(
    request: Request,
    title: str,
    template: str = "sections.page.html",
    *,
    sections: Sequence[Section] = (),
    status: int = 200,
    **values: Any,
) -> Response:
    """A whole page: a template of ours around sections that have blocks."""
    shown = [section for section in sections if section.blocks]
    assets = dict.fromkeys(name for s in shown for block in s.blocks for name in block.assets)
    text = (
        environment()
        .get_template(template)
        .render(
            title=title,
            pages=PAGES,
            here="/" + request.url.path.split("/")[1],
            sections=shown,
            assets=tuple(assets),
            words=ENGLISH,
            version=__version__,
            read_only=site_of(request).read_only,
            **values,
        )
    )
    return HTMLResponse(well_formed(text), status_code=status)


def fragment(template: str, **values: Any) -> Response:
    """A piece of a page, for htmx to put in its place."""
    text = environment().get_template(template).render(words=ENGLISH, **values)
    return HTMLResponse(well_formed(text))


def problem(request: Request, error: LocalPromptError) -> Response:
    """An error as a page, or as the piece that htmx waits for."""
    status = 404 if isinstance(error, UnknownNameError) else 400
    if request.headers.get("hx-request"):
        # htmx drops other answers than 2xx; this one is to be read.
        return fragment("problem.html", error=error)
    return page(request, "That did not work", "problem.page.html", status=status, error=error)


async def form_of(request: Request) -> dict[str, list[str]]:
    """The fields of a form, as a browser sends them (urlencoded).

    Line ends are those of the text, not those of forms.
    """
    body = (await request.body()).decode("utf-8", "replace")
    fields = parse_qs(body, keep_blank_values=True, max_num_fields=500)
    return {name: [v.replace("\r\n", "\n") for v in values] for name, values in fields.items()}


@cache
def environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.PackageLoader("localprompt.web", "templates"),
                jinja2.PackageLoader("localprompt.views", "page"),
            ]
        ),
        autoescape=True,
        auto_reload=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
