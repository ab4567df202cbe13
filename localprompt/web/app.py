"""The routes, with the guard around all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from localprompt.errors import LocalPromptError, MachineError, UnknownNameError
from localprompt.web import cases, chatting, look, models, prompts, trying
from localprompt.web.chores import Chores
from localprompt.web.guard import Guard, Keys, TooLargeError
from localprompt.web.host import Host
from localprompt.web.site import Site, problem

_SHARED = ("style.css", "script.js", "cases.css", "cases.js", "prose.css")
"""What reports are made of, too."""
_STATIC = {
    "htmx.min.js": ("localprompt.web", "static"),
    "icon.svg": ("localprompt.web", "static"),
    "site.css": ("localprompt.web", "static"),
    "site.js": ("localprompt.web", "static"),
    **dict.fromkeys(_SHARED, ("localprompt.views", "page")),
}
_KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def build_app(host: Host | None, hosts: frozenset[str], keys: Keys) -> Guard:
    """The site.

    Args:
        host: None: read-only.
        hosts: what ``Host`` may be; see :class:`localprompt.web.guard.Guard`.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        if chores is not None:
            await run_in_threadpool(chores.close)
        if host is not None:
            await run_in_threadpool(host.close)

    chores = None if host is None else Chores()
    routes = [
        Route("/", trying.start),
        Route("/try/inputs", trying.inputs),
        Route("/try", trying.begin, methods=["POST"]),
        Route("/jobs/{id}", trying.done),
        Route("/jobs/{id}/events", trying.events),
        Route("/jobs/{id}/received", trying.received),
        Route("/jobs/{id}/stop", trying.stop, methods=["POST"]),
        Route("/prompts/{name}", prompts.prompt_page),
        Route("/prompts/{name}", prompts.save, methods=["POST"]),
        Route("/chat", chatting.start),
        Route("/chat", chatting.say, methods=["POST"]),
        Route("/chat/{id}", chatting.conversation),
        Route("/runs", look.runs),
        Route("/runs/{id}", look.run),
        Route("/runs/{id}/json", look.run_json),
        Route("/results", look.results),
        Route("/results/{id}", look.result),
        Route("/compare", look.compare),
        Route("/difference", look.difference),
        Route("/cases", cases.case_history),
        Route("/live", look.live),
        Route("/models", models.models),
        Route("/models/under-way", models.under_way),
        Route("/models/pull", models.pull, methods=["POST"]),
        Route("/models/quantize", models.quantize, methods=["POST"]),
        Route("/models/stop", models.stop, methods=["POST"]),
        Route("/doctor", models.doctor),
        Route("/static/{name}", _static),
    ]
    handlers = {
        LocalPromptError: _explained,
        HTTPException: _http_error,
        TooLargeError: _too_large,
        OSError: _unusable,
    }
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)  # type: ignore[arg-type]
    app.state.site = Site(host, chores)
    return Guard(app, hosts, keys, read_only=host is None)


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        raise HTTPException(404)
    package, folder = _STATIC[name]
    text = resources.files(package).joinpath(folder, name).read_bytes()
    kind = _KINDS[name.rpartition(".")[2]]
    # The same for as long as this server runs.
    return Response(text, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})


def _explained(request: Request, error: LocalPromptError) -> Response:
    return problem(request, error)


def _unusable(request: Request, error: OSError) -> Response:
    """A file that is there and cannot be read or written, as the disk says."""
    found = error.strerror or str(error)
    where = None if error.filename is None else str(error.filename)
    return problem(request, MachineError("the file cannot be used", where=where, found=found))


def _http_error(request: Request, error: HTTPException) -> Response:
    if error.status_code == 404:
        return problem(request, UnknownNameError("there is no such page", next_step="see above"))
    return PlainTextResponse(f"{error.detail}\n", error.status_code)


def _too_large(request: Request, error: TooLargeError) -> Response:
    return PlainTextResponse("More than this page takes at once.\n", 413)
