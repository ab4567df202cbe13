"""A web server on this machine that misbehaves as told, one instruction for each request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Loopback:
    """What to serve, how to fail, and what was asked."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.etag: str | None = '"v1"'
        self.last_modified: str | None = None
        self.honours_range = True
        self.claimed_length: int | None = None
        self.wrong_range = False
        self.redirects: dict[str, str] = {}
        self.cuts: list[int | None] = []
        """Bytes after which to cut each answer in turn; None serves it whole."""
        self.statuses: list[int] = []
        """Status codes to answer first, before anything is served."""
        self.requests: list[tuple[str, str | None, str | None]] = []
        """Path, Range and If-Range of each request."""
        self.stall: threading.Event | None = None
        """Where set: a cut answer is held open until it is set."""
        self.url = ""


@contextmanager
def loopback(content: bytes) -> Iterator[Loopback]:
    state = Loopback(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, state)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/model.gguf"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        if state.stall is not None:
            state.stall.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, state: Loopback) -> None:
    wanted, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
    state.requests.append((handler.path, wanted, condition))
    if state.statuses:
        handler.send_error(state.statuses.pop(0))
        return
    if handler.path in state.redirects:
        handler.send_response(302)
        handler.send_header("Location", state.redirects[handler.path])
        handler.end_headers()
        return
    start = _start(state, wanted, condition)
    if start >= len(state.content):
        handler.send_error(416)
        return
    body, total = state.content[start:], state.claimed_length or len(state.content)
    if start:
        handler.send_response(206)
        claimed = start + 1 if state.wrong_range else start
        handler.send_header("Content-Range", f"bytes {claimed}-{total - 1}/{total}")
    else:
        handler.send_response(200)
    handler.send_header("Content-Length", str(total - start))
    if state.etag:
        handler.send_header("ETag", state.etag)
    if state.last_modified:
        handler.send_header("Last-Modified", state.last_modified)
    handler.end_headers()
    cut = state.cuts.pop(0) if state.cuts else None
    with suppress(ConnectionError):  # whoever asked has gone away
        handler.wfile.write(body if cut is None else body[:cut])
        handler.wfile.flush()
    if cut is not None and state.stall is not None:
        state.stall.wait(60)
    handler.close_connection = True


def _start(state: Loopback, wanted: str | None, condition: str | None) -> int:
    if wanted is None or not state.honours_range:
        return 0
    if condition is not None and condition not in {state.etag, state.last_modified}:
        return 0
    return int(wanted.removeprefix("bytes=").removesuffix("-"))
