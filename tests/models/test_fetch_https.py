from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from localprompt.errors import ChecksumError, FetchError
from localprompt.models import fetch_https as module
from localprompt.models.cards import HttpsSource, ModelCard, write_card
from localprompt.models.fetch_https import FRUITLESS_ATTEMPTS, fetch_https
from localprompt.models.pull import pull
from localprompt.models.receiver import Receiver, no_progress
from localprompt.records.model import Licence
from tests.models.loopback import Loopback, loopback

CONTENT = random.Random(7).randbytes(3 * 1024**2 + 11)
CARD = ModelCard(
    name="tiny",
    file="tiny.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size_bytes=len(CONTENT),
    licence=Licence("MIT"),
)
MIB = 1024**2


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback(CONTENT) as state:
        yield state


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    return tmp_path / "partial"


def _fetch(server: Loopback, partial: Path, path: str | None = None) -> list[float]:
    """Fetch, check the result, and say which waits there were."""
    waits: list[float] = []
    url = server.url if path is None else server.url.replace("/model.gguf", path)
    with Receiver(CARD, partial, "download", no_progress, resume=True) as receiver:
        fetch_https(url, receiver, wait=waits.append)
        assert receiver.finish().read_bytes() == CONTENT
    return waits


def test_a_file_is_fetched_in_one_request(server: Loopback, partial: Path) -> None:
    assert _fetch(server, partial) == []
    assert server.requests == [("/model.gguf", None, None)]


def test_a_cut_connection_is_continued_where_it_broke_over_several_cuts(
    server: Loopback, partial: Path
) -> None:
    server.cuts = [MIB, MIB, 5]
    waits = _fetch(server, partial)
    assert [asked for _, asked, _ in server.requests] == [
        None,
        f"bytes={MIB}-",
        f"bytes={2 * MIB}-",
        f"bytes={2 * MIB + 5}-",
    ]
    assert {condition for _, _, condition in server.requests[1:]} == {'"v1"'}
    assert max(waits) <= 0.2  # bytes arrived each time


def test_a_weak_etag_is_not_used_as_a_condition(server: Loopback, partial: Path) -> None:
    server.etag, server.last_modified = 'W/"v1"', "Sun, 22 Nov 2026 10:00:00 GMT"
    server.cuts = [MIB]
    _fetch(server, partial)
    assert server.requests[1][2] == "Sun, 22 Nov 2026 10:00:00 GMT"


def test_without_a_validator_the_range_is_asked_for_unconditionally(
    server: Loopback, partial: Path
) -> None:
    server.etag = None
    server.cuts = [MIB]
    _fetch(server, partial)
    assert server.requests[1] == ("/model.gguf", f"bytes={MIB}-", None)


def test_a_file_that_changed_in_between_is_fetched_from_its_start(
    server: Loopback, partial: Path
) -> None:
    old = bytes(MIB)
    partial.write_bytes(old)
    partial.with_name("partial.validator").write_text('"v0"')
    _fetch(server, partial)
    assert server.requests == [("/model.gguf", f"bytes={MIB}-", '"v0"')]


def test_a_server_that_ignores_ranges_is_heard(server: Loopback, partial: Path) -> None:
    server.honours_range = False
    server.cuts = [MIB]
    _fetch(server, partial)
    assert len(server.requests) == 2


def test_a_server_that_sends_another_range_is_asked_for_everything(
    server: Loopback, partial: Path
) -> None:
    server.wrong_range = True
    server.cuts = [MIB]
    _fetch(server, partial)
    assert [asked for _, asked, _ in server.requests] == [None, f"bytes={MIB}-", None]


def test_a_refused_range_starts_over(server: Loopback, partial: Path) -> None:
    partial.write_bytes(CONTENT[:MIB])
    server.statuses = [416]
    _fetch(server, partial)
    assert [asked for _, asked, _ in server.requests] == [f"bytes={MIB}-", None]


def test_a_complete_partial_file_needs_no_request(server: Loopback, partial: Path) -> None:
    partial.write_bytes(CONTENT)
    _fetch(server, partial)
    assert server.requests == []


def test_redirects_are_followed_with_the_range(server: Loopback, partial: Path) -> None:
    server.redirects = {"/resolve": "/model.gguf"}
    server.cuts = [MIB]
    _fetch(server, partial, "/resolve")
    assert server.requests[-1] == ("/model.gguf", f"bytes={MIB}-", '"v1"')


def test_a_busy_server_is_asked_again(server: Loopback, partial: Path) -> None:
    server.statuses = [503, 429]
    assert _fetch(server, partial) == [0.4, 0.8]


def test_attempts_that_bring_nothing_are_bounded(server: Loopback, partial: Path) -> None:
    server.cuts = [MIB, *(0,) * 20]
    with pytest.raises(FetchError, match=f"{MIB} bytes are kept"):
        _fetch(server, partial)
    assert len(server.requests) == 1 + FRUITLESS_ATTEMPTS
    assert partial.stat().st_size == MIB


def test_nobody_listening_is_a_fetch_error(partial: Path) -> None:
    with loopback(CONTENT) as server:
        gone = server
    with pytest.raises(FetchError, match="refused") as caught:
        _fetch(gone, partial)
    assert caught.value.next_step is not None


@pytest.mark.parametrize("status", [401, 404, 410])
def test_a_refusal_is_final(server: Loopback, partial: Path, status: int) -> None:
    server.statuses = [status]
    with pytest.raises(FetchError, match=f"HTTP {status}"):
        _fetch(server, partial)
    assert len(server.requests) == 1


def test_a_file_of_another_length_is_refused_before_it_is_fetched(
    server: Loopback, partial: Path
) -> None:
    server.claimed_length = len(CONTENT) + 1
    with pytest.raises(FetchError, match="a different file") as caught:
        _fetch(server, partial)
    assert caught.value.found == f"{len(CONTENT) + 1} bytes"
    assert partial.stat().st_size == 0


def test_a_proxy_from_the_environment_is_used(
    server: Loopback, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/model.gguf"))
    with Receiver(CARD, partial, "download", no_progress) as receiver:
        fetch_https("http://models.invalid/tiny.gguf", receiver)
    assert server.requests == [("http://models.invalid/tiny.gguf", None, None)]


# ------------------------------------------------------------------- as a source of a pull


def _card(server: Loopback, **changes: str) -> ModelCard:
    import msgspec

    return msgspec.structs.replace(CARD, sources=(HttpsSource(server.url),), **changes)


def test_a_pull_over_https_leaves_the_weights_and_nothing_else(
    server: Loopback, store: Path
) -> None:
    assert pull(_card(server)).read_bytes() == CONTENT
    assert [path.name for path in store.iterdir()] == ["tiny.gguf"]
    assert not (store.parent / "cache" / "incoming").exists()


def test_another_content_leaves_nothing_at_all(server: Loopback, store: Path) -> None:
    with pytest.raises(ChecksumError, match="sha256"):
        pull(_card(server, sha256="0" * 64))
    assert list(store.iterdir()) == []
    assert not (store.parent / "cache" / "incoming").exists()


def test_a_pull_that_was_cut_off_leaves_the_store_empty_and_is_continued(
    server: Loopback, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT_SECONDS", 0)
    server.cuts = [MIB, *(0,) * FRUITLESS_ATTEMPTS]
    with pytest.raises(FetchError, match="bytes are kept"):
        pull(_card(server))
    assert list(store.iterdir()) == []
    server.requests.clear()
    assert pull(_card(server)).read_bytes() == CONTENT
    assert server.requests == [("/model.gguf", f"bytes={MIB}-", '"v1"')]


def test_ctrl_c_leaves_the_store_empty_and_the_next_pull_goes_on(
    server: Loopback, store: Path
) -> None:
    def interrupt(_stage: str, done: int, _total: int | None) -> None:
        if done >= MIB:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(_card(server), progress=interrupt)
    assert list(store.iterdir()) == []
    assert pull(_card(server)).read_bytes() == CONTENT
    assert server.requests[1][1] is not None


def test_a_pull_that_was_killed_is_continued_by_the_next(server: Loopback, store: Path) -> None:
    server.cuts, server.stall = [MIB], threading.Event()
    card = _card(server)
    write_card(card, store / "tiny.toml")
    script = (
        "from localprompt.models.pull import pull\n"
        "from localprompt.models.resolve import find_card\n"
        "pull(find_card('tiny'), progress=lambda s, done, t: print(done, flush=True))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child:
        assert any(int(line) >= MIB for line in child.stdout)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert [path.name for path in store.iterdir()] == ["tiny.toml"]
    server.stall.set()
    assert pull(card).read_bytes() == CONTENT
    assert server.requests[-1][1] == f"bytes={MIB}-"
