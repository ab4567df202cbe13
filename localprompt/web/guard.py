"""Who may use the page, decided before anything else looks at a request.

A page on 127.0.0.1 is within reach of every web site that the same browser has open, and of every
user of the same machine. In the order in which a request meets them:

1. ``Host`` has to be exactly this server's. A name that somebody points to 127.0.0.1 after the
   browser has loaded it (DNS rebinding) makes ``Origin`` and ``Host`` equal, and is stopped here.
2. A random key, printed at start and good for one browser, is exchanged for a cookie
   (``SameSite=Strict``, ``HttpOnly``). Without it nothing is told; ``/healthz`` needs none and says
   nothing.
3. What changes something is a POST whose ``Origin`` is this server's.
4. Bodies are bounded, and read no further than that.

Answers allow the browser nothing but this server's own files, no framing and no inline script.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 8 << 20
"""Of a request's body: a variable of 5 MB as a form has it, and room."""

_READING = {"GET", "HEAD"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; object-src 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Keys:
    """The key that is shown, and the sessions that were opened with such keys.

    Args:
        show: told of each key that takes the place of one that was used.
    """

    def __init__(self, show: Callable[[str], None] = lambda key: None) -> None:
        self._show = show
        self._sessions: set[str] = set()
        self.current = secrets.token_urlsafe(24)

    def exchange(self, key: str) -> str | None:
        """A new session's token for the key, which is then spent; None: it is not the key."""
        if not secrets.compare_digest(key.encode(), self.current.encode()):
            return None
        self.current = secrets.token_urlsafe(24)
        self._show(self.current)
        token = secrets.token_urlsafe(24)
        self._sessions.add(token)
        return token

    def knows(self, token: str) -> bool:
        return any(secrets.compare_digest(token.encode(), one.encode()) for one in self._sessions)


class Guard:
    """ASGI middleware around all of the site.

    Args:
        hosts: what ``Host`` may be, with the port.
        read_only: nothing can be changed.
    """

    def __init__(
        self, app: ASGIApp, hosts: frozenset[str], keys: Keys, *, read_only: bool = False
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._keys = keys
        self._read_only = read_only
        port = next(iter(hosts)).rpartition(":")[2]
        # Cookies know no ports: servers on two of them would take each other's away.
        self._cookie = f"localprompt-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        answer = self._refusal(scope, headers)
        if answer is not None:
            await answer(scope, receive, _with_headers(send))
            return
        await self._app(scope, _bounded(receive), _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """What is answered instead of the page; None: the request may pass."""
        if headers.get("host", "").lower() not in self._hosts:
            return PlainTextResponse("This is not the host that this page is served on.\n", 421)
        method, path = scope["method"], scope["path"]
        if method not in {*_READING, "POST"}:
            return PlainTextResponse("Only GET, HEAD and POST.\n", 405)
        if path == "/healthz" and method in _READING:
            return PlainTextResponse("")
        if not self._knows(headers.get("cookie", "")):
            return self._entry(scope)
        if method == "POST":
            return self._change(headers)
        return None if "key" not in dict(_query(scope)) else _without_key(scope)

    def _knows(self, cookies: str) -> bool:
        try:
            morsel = SimpleCookie(cookies).get(self._cookie)
        except CookieError:
            return False
        return morsel is not None and self._keys.knows(morsel.value)

    def _entry(self, scope: Scope) -> Response:
        """A key becomes a cookie, and leaves the address."""
        key = dict(_query(scope)).get("key")
        token = None if key is None or scope["method"] != "GET" else self._keys.exchange(key)
        if token is None:
            return PlainTextResponse(
                "Open the address that localprompt serve has printed last: it has the key.\n", 403
            )
        answer = _without_key(scope)
        answer.set_cookie(self._cookie, token, httponly=True, samesite="strict", path="/")
        return answer

    def _change(self, headers: Headers) -> Response | None:
        own = {f"http://{host}" for host in self._hosts}
        if headers.get("origin", "").lower() not in own:
            return PlainTextResponse("This request does not come from this page.\n", 403)
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return PlainTextResponse("This request does not come from this page.\n", 403)
        if self._read_only:
            return PlainTextResponse("This page is read-only (serve --read-only).\n", 403)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            return PlainTextResponse(f"More than {MOST_BYTES >> 20} MiB at once.\n", 413)
        return None


class TooLargeError(Exception):
    """A body that goes on beyond what it may have."""


def _bounded(receive: Receive) -> Receive:
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MOST_BYTES:
            raise TooLargeError
        return message

    return bounded


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return with_headers


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _without_key(scope: Scope) -> Response:
    rest = urlencode([(name, value) for name, value in _query(scope) if name != "key"])
    # Never //host: a path that begins so would lead elsewhere.
    path = "/" + scope["path"].lstrip("/\\")
    return RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
