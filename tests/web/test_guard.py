"""Who may use the page: from a rebound name to a body without an end."""

from __future__ import annotations

import hashlib
import http.client
from importlib import resources
from pathlib import Path

import pytest

from localprompt.web.guard import MOST_BYTES, Keys
from tests.web.conftest import Served

HTMX_SHA256 = "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"


def test_without_the_key_nothing_is_told(served: Served) -> None:
    for path in ("/", "/runs", "/models", "/static/site.js", "/nowhere"):
        got = served.get(path)
        assert got.status == 403
        assert "localprompt serve has printed" in got.text


def test_the_key_becomes_a_strict_cookie_and_leaves_the_address(served: Served) -> None:
    got = served.get(f"/runs?kind=ask&key={served.keys.current}")
    assert got.status == 303
    assert got.headers["location"] == "/runs?kind=ask"
    cookie = got.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert str(served.port) in cookie


def test_a_key_is_good_for_one_browser_and_another_one_follows(served: Served) -> None:
    first = served.keys.current
    served.enter()
    assert served.keys.current != first
    served.cookie = ""
    assert served.get(f"/?key={first}").status == 403
    assert served.get(f"/?key={served.keys.current}").status == 303


@pytest.mark.parametrize(
    "cookie",
    ["", "localprompt-{port}=", "localprompt-{port}=guess", "other={token}", "=;;=,\x80"],
)
def test_a_forged_cookie_opens_nothing(served: Served, cookie: str) -> None:
    token = served.enter().cookie.partition("=")[2]
    served.cookie = cookie.format(port=served.port, token=token) or "a=b"
    assert served.get("/").status == 403


@pytest.mark.parametrize(
    "name",
    ["evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", ""],
)
def test_a_name_that_was_pointed_here_is_refused_before_anything_else(
    served: Served, name: str
) -> None:
    host = name.format(port=served.port)
    key = served.keys.current
    assert served.get(f"/?key={key}", Host=host).status == 421
    assert served.keys.current == key
    served.enter()
    assert served.get("/healthz", Host=host).status == 421
    assert served.post("/try", Host=host, Origin=f"http://{host}").status == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "https://127.0.0.1:{port}", "http://127.0.0.1:1"]
)
def test_what_changes_something_comes_from_this_page(served: Served, origin: str) -> None:
    served.enter()
    got = served.post("/prompts/new", [("source", "x")], Origin=origin.format(port=served.port))
    assert got.status == 403
    assert not Path("prompts").exists()


def test_a_browser_that_says_it_comes_from_elsewhere_is_believed(served: Served) -> None:
    served.enter()
    assert served.post("/try", Sec_Fetch_Site="cross-site").status == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "FOO"])
def test_other_methods_are_refused(served: Served, method: str) -> None:
    assert served.enter().get("/runs", method).status == 405


def test_a_body_that_is_too_long_is_refused_by_what_it_says_and_by_what_comes(
    served: Served,
) -> None:
    served.enter()
    assert served.post("/try", Content_Length=str(MOST_BYTES + 1)).status == 413
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    headers = {"Origin": served.origin, "Cookie": served.cookie}
    chunks = (b"a" * (1 << 20) for _ in range((MOST_BYTES >> 20) + 2))
    try:
        connection.request("POST", "/try", chunks, headers, encode_chunked=True)
        status = connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        status = 413  # it did not wait for the end
    finally:
        connection.close()
    assert status == 413


def test_health_needs_no_key_and_says_nothing(served: Served) -> None:
    got = served.get("/healthz")
    assert (got.status, got.text) == (200, "")
    assert "server" not in got.headers


def test_a_browser_may_load_nothing_from_elsewhere_and_run_nothing_inline(served: Served) -> None:
    served.enter()
    for path in ("/", "/runs", "/nowhere", "/static/site.js"):
        headers = served.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_a_read_only_page_changes_nothing(read_only: Served) -> None:
    read_only.enter()
    assert read_only.post("/prompts/new", [("source", "x")]).status == 403
    assert "read-only" in read_only.get("/").text
    assert read_only.get("/jobs/x").status == 400


def test_redirects_stay_on_this_server(served: Served) -> None:
    got = served.get(f"//evil.example/?key={served.keys.current}")
    assert got.headers["location"].startswith("/evil.example")


def test_paths_outside_the_static_files_are_not_served(served: Served) -> None:
    served.enter()
    for name in ("page.html", "..%2fguard.py", "%2e%2e/guard.py", "htmx.LICENSE"):
        assert served.get(f"/static/{name}").status == 404


def test_a_key_that_is_not_ascii_is_only_wrong() -> None:
    assert Keys().exchange("schlüssel") is None


def test_htmx_is_the_file_that_was_looked_at() -> None:
    folder = resources.files("localprompt.web").joinpath("static")
    assert hashlib.sha256(folder.joinpath("htmx.min.js").read_bytes()).hexdigest() == HTMX_SHA256
    assert "Zero-Clause BSD" in folder.joinpath("htmx.LICENSE").read_text("utf-8")
