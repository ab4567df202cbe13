"""The page, served on a port of this machine, with a scripted engine behind it."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

from localprompt.processes import worker_command
from localprompt.web.app import build_app
from localprompt.web.guard import Keys
from localprompt.web.host import Host
from localprompt.web.server import listener_on, server_of


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


class Served:
    """The address, and a browser's part of the conversation."""

    def __init__(self, port: int, keys: Keys, host: Host | None) -> None:
        self.port = port
        self.keys = keys
        self.host = host
        self.cookie = ""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def enter(self) -> Served:
        """Exchange the key for a cookie."""
        got = self.get(f"/?key={self.keys.current}")
        assert got.status == 303
        self.cookie = got.headers["set-cookie"].partition(";")[0]
        return self

    def get(self, path: str, method: str = "GET", **headers: str) -> Got:
        return self._ask(method, path, None, headers)

    def post(self, path: str, fields: list[tuple[str, str]] | None = None, **headers: str) -> Got:
        given = {
            "Origin": self.origin,
            "Content-Type": "application/x-www-form-urlencoded",
            **headers,
        }
        return self._ask("POST", path, urlencode(fields or []), given)

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Got:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            sent.setdefault("Cookie", self.cookie)
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        text = answer.read().decode()
        found = {name.lower(): value for name, value in answer.getheaders()}
        connection.close()
        return Got(answer.status, found, text)


def running(host: Host | None) -> Iterator[Served]:
    """Serve until the caller is done."""
    listener = listener_on("127.0.0.1", 0)
    port = listener.getsockname()[1]
    keys = Keys()
    app = build_app(host, frozenset({f"127.0.0.1:{port}", f"localhost:{port}"}), keys)
    server = server_of(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Served(port, keys, host)
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()
        if host is not None:
            host.close()


@pytest.fixture
def host() -> Host:
    return Host(worker_command("tests.web.scripted_worker"))


@pytest.fixture
def served(lab_home: Path, host: Host) -> Iterator[Served]:
    """In an empty home with the starter model, in an empty folder."""
    yield from running(host)


@pytest.fixture
def read_only(lab_home: Path) -> Iterator[Served]:
    yield from running(None)
