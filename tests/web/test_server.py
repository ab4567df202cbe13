"""Where the page is served, and what is said where it cannot be."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localprompt.__main__ import run
from localprompt.errors import InputError, MachineError
from localprompt.web.server import listener_on, names_of


def test_a_port_in_use_is_an_error_that_says_by_whom_and_takes_no_other() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MachineError) as caught:
            listener_on("127.0.0.1", port)
    assert f"port {port} is in use" in caught.value.message
    assert "process" in (caught.value.found or "process")


def test_where_the_port_is_in_use_nothing_is_offered_to_open(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert run(["serve", "--no-open", "--port", str(taken.getsockname()[1])]) == 3
    said = capsys.readouterr().err
    assert said.startswith("error: port")
    assert "Open this" not in said


def test_connections_send_small_answers_at_once() -> None:
    async def accepted() -> bool:
        listener = listener_on("127.0.0.1", 0)
        loop, made = asyncio.get_running_loop(), asyncio.Queue[asyncio.BaseTransport]()

        class Noted(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                made.put_nowait(transport)

        server = await loop.create_server(Noted, sock=listener)
        with socket.create_connection(listener.getsockname()):
            transport = await made.get()
            connection = transport.get_extra_info("socket")
            option = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            transport.close()
        server.close()
        return bool(option)

    assert asyncio.run(accepted())


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        listener_on("192.0.2.1", 0)
    assert caught.value.found == "192.0.2.1"
    for name in ("é" * 200, "\udcff", "a..b"):
        with pytest.raises(InputError):
            listener_on(name, 0)


def test_a_server_for_this_machine_has_two_names_and_one_for_all_has_its_addresses() -> None:
    assert names_of("127.0.0.1") == ("127.0.0.1", "localhost")
    assert names_of("::1") == ("[::1]",)
    assert set(names_of("0.0.0.0")) > {"127.0.0.1", "localhost"}
    assert "0.0.0.0" not in names_of("0.0.0.0")


def test_a_wrong_port_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--port", "70000"]) == 2
    assert "--port" in capsys.readouterr().err


def test_without_its_packages_the_command_says_how_to_have_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("localprompt.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run(["serve", "--no-open"]) == 3
    assert "localprompt[web]" in capsys.readouterr().err


def test_ctrl_c_ends_the_server_and_its_engine(lab_home: Path) -> None:
    command = [sys.executable, "-m", "localprompt", "serve", "--port", "0", "--no-open"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines = [process.stderr.readline(), process.stderr.readline()]
    assert "/?key=" in lines[1]
    time.sleep(0.2)
    process.send_signal(2)
    assert process.wait(timeout=20) in {0, 130}
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
