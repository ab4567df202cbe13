"""What all pages share: the history, the engine, and the frame around the sections."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from localprompt import __version__
from localprompt.errors import InputError, LocalPromptError, UnknownNameError
from localprompt.records.json import well_formed
from localprompt.store.history import stamp
from localprompt.views.html import PageWords
from localprompt.views.language import DEFAULT, LANGUAGES, Language
from localprompt.views.sections import Section

if TYPE_CHECKING:
    from localprompt.web.chores import Chores
    from localprompt.web.host import Host

PAGES = (
    ("/", "try"),
    ("/chat", "chat"),
    ("/runs", "runs"),
    ("/results", "results"),
    ("/models", "models"),
)
"""Addresses, and the names of their titles in the texts."""
MOST_FIELDS = 500
"""Of a form."""
LANGUAGE_COOKIE = "localprompt-language"
_MOST_KEPT = 32
"""Pages of lists; each is some 30 kB."""


class Site:
    """The state behind the routes; ``request.app.state.site``.

    Args:
        host: None: read-only, there is no engine.
        chores: pulls and quantizes; None: read-only.
    """

    def __init__(self, host: Host | None, chores: Chores | None) -> None:
        self.host = host
        self.chores = chores
        self._kept: dict[tuple[str, ...], tuple[object, bytes]] = {}
        self._lock = threading.Lock()

    def as_before(self, request: Request, make: Callable[[], Response]) -> Response:
        """A page of the history, made anew only where something was stored since: what asks again
        and again costs next to nothing."""
        now = stamp()
        if now is None or "language" in request.query_params:
            return make()
        headers = (request.headers.get(name, "") for name in ("hx-request", "hx-target"))
        key = (str(request.url), language_of(request).code, *headers)
        before = self._kept.get(key)
        if before is None or before[0] != now:
            answer = make()
            if answer.status_code != HTTPStatus.OK:
                return answer
            before = (now, bytes(answer.body))
        with self._lock:  # the last one used is the last one forgotten
            self._kept.pop(key, None)
            self._kept[key] = before
            while len(self._kept) > _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        return HTMLResponse(before[1])

    @property
    def read_only(self) -> bool:
        return self.host is None


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


def host_of(request: Request) -> Host:
    """
    Raises:
        InputError: the page is read-only.
    """
    host = site_of(request).host
    if host is None:
        raise InputError("this page is read-only", next_step="localprompt serve")
    return host


def language_of(request: Request) -> Language:
    """What the reader chose on the page, else what the browser asks for."""
    chosen = request.query_params.get("language") or request.cookies.get(LANGUAGE_COOKIE)
    if chosen in LANGUAGES:
        return language(chosen)
    for part in request.headers.get("accept-language", "").split(","):
        wanted = part.partition(";")[0].strip().lower()
        for code in LANGUAGES:
            if wanted.partition("-")[0] == code.lower().partition("-")[0]:
                return language(code)
    return language(DEFAULT)


@cache
def language(code: str) -> Language:
    return Language(code)


@cache
def words(code: str) -> PageWords:
    """What the templates say that pages share with reports."""
    say = language(code)
    names = [name for name in PageWords.__struct_fields__ if name != "language"]
    return PageWords(language=code, **{name: say(f"document.{name}") for name in names})


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
    say = language_of(request)
    text = (
        environment()
        .get_template(template)
        .render(
            title=title,
            pages=PAGES,
            here="/" + request.url.path.split("/")[1],
            sections=shown,
            assets=tuple(assets),
            words=words(say.code),
            say=say,
            languages=_languages(request),
            version=__version__,
            read_only=site_of(request).read_only,
            **values,
        )
    )
    answer = HTMLResponse(well_formed(text), status_code=status)
    if "language" in request.query_params:
        answer.set_cookie(LANGUAGE_COOKIE, say.code, httponly=True, samesite="strict", path="/")
    return answer


def _languages(request: Request) -> list[tuple[str, str]]:
    """Each language with the address of this page in it."""
    asked = [item for item in request.query_params.multi_items() if item[0] != "language"]
    return [
        (code, f"{request.url.path}?{urlencode([*asked, ('language', code)])}")
        for code in LANGUAGES
    ]


def fragment(request: Request, template: str, **values: Any) -> Response:
    """A piece of a page, for htmx to put in its place."""
    say = language_of(request)
    text = environment().get_template(template).render(words=words(say.code), say=say, **values)
    return HTMLResponse(well_formed(text))


def problem(request: Request, error: LocalPromptError) -> Response:
    """An error as a page, or as the piece that htmx waits for."""
    status = 404 if isinstance(error, UnknownNameError) else 400
    if request.headers.get("hx-request"):
        # htmx drops other answers than 2xx; this one is to be read.
        return fragment(request, "problem.html", error=error)
    title = language_of(request)("site.problem.title")
    return page(request, title, "problem.page.html", status=status, error=error)


async def form_of(request: Request) -> dict[str, list[str]]:
    """The fields of a form, as a browser sends them (urlencoded).

    Line ends are those of the text, not those of forms.

    Raises:
        InputError: there are more than MOST_FIELDS.
    """
    body = (await request.body()).decode("utf-8", "replace")
    try:
        fields = parse_qs(body, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise InputError("too many fields", expected=f"at most {MOST_FIELDS}") from error
    return {name: [v.replace("\r\n", "\n") for v in values] for name, values in fields.items()}


@cache
def environment() -> jinja2.Environment:
    made = jinja2.Environment(
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
    made.globals["spoken"] = str  # sections come in English; what stands around them, by say
    return made
