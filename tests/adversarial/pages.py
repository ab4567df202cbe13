"""One request to the local page, answered in this process without a socket.

    ask("POST", "/try", "model=tiny&text=Hello")

What a browser could not tell from markup of ours, or an answer of 500, counts as not withstood.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import unquote

from tests.adversarial.hostile import MARKUP

HOST = "127.0.0.1:8765"


def ask(method: str, target: str, body: str, *more: str) -> int:
    """Answer a request as the server would; 0, 2 where it was refused, 71 or 72 where it hurt.

    Args:
        target: the address, percent-encoded, with its query.
        more: further headers, as ``name: value``.
    """
    from localprompt.web.app import build_app
    from localprompt.web.guard import Keys
    from localprompt.web.host import Host

    keys = Keys()
    token = keys.exchange(keys.current)
    headers = {
        "host": HOST,
        "origin": f"http://{HOST}",
        "cookie": f"localprompt-8765={token}",
        "content-type": "application/x-www-form-urlencoded",
        **dict(line.split(": ", 1) for line in more),
    }
    read_only = headers.pop("read-only", None) is not None
    app = build_app(None if read_only else Host(), frozenset({HOST}), keys)
    answer = _Answer()
    asyncio.run(_answered(app, _scope(method, target, headers), body, answer))
    return answer.told()  # a job that it began ends with this process


class _Answer:
    def __init__(self) -> None:
        self.status = 0
        self.kind = ""
        self.body = bytearray()

    def told(self) -> int:
        text = self.body.decode("utf-8", "replace")
        sys.stdout.write(f"{self.status} {self.kind}, {len(text)} characters\n")
        if self.status >= 400:
            sys.stderr.write(" ".join(text.split())[-2000:] + "\n")
        if self.kind.startswith("text/html") and MARKUP in text:
            return 71
        if self.status >= 500 or self.status == 0:
            return 72
        return 2 if self.status >= 400 else 0


def _scope(method: str, target: str, headers: dict[str, str]) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("ascii", "replace"),
        "root_path": "",
        "query_string": query.encode("ascii", "replace"),
        "headers": [
            (k.encode("latin-1"), v.encode("latin-1", "replace")) for k, v in headers.items()
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8765),
    }


async def _answered(app: Any, scope: dict[str, Any], body: str, answer: _Answer) -> None:
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await asyncio.sleep(3)
            return {"type": "http.disconnect"}
        sent = True
        data = body.encode("utf-8", "surrogateescape")
        return {"type": "http.request", "body": data, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            found = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            answer.kind = found.get("content-type", "")
        else:
            answer.body += message.get("body", b"")

    await app(scope, receive, send)
