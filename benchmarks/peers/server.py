"""llama-server of the same build, and clients that keep all of its slots busy."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers.builds import SERVER, Tools
from localprompt.errors import WorkerError

CELLS_PER_SLOT = 1024
_HOST = "127.0.0.1"
_START_SECONDS = 120.0
_POLL_SECONDS = 0.1


class Server:
    """A server that answers; made by :func:`running`."""

    def __init__(self, port: int, slots: int) -> None:
        self.port = port
        self.slots = slots

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self.port}"

    def hold(
        self, token_ids: Sequence[int], schema: Any, max_tokens: int
    ) -> tuple[str, int, float]:
        """A greedy answer held to a JSON Schema.

        Returns:
            The text, its tokens, and the server's own seconds from the first one on.

        Raises:
            WorkerError: the request fails.
        """
        body = {"prompt": list(token_ids), "n_predict": max_tokens, "temperature": 0}
        connection = http.client.HTTPConnection(_HOST, self.port)
        try:
            answer = _post(
                connection, "/completion", {**body, "json_schema": schema, "cache_prompt": True}
            )
        finally:
            connection.close()
        timings = answer["timings"]
        return str(answer["content"]), int(timings["predicted_n"]), timings["predicted_ms"] / 1e3

    def complete_all(self, prompts: Sequence[str], max_tokens: int) -> tuple[float, list[str]]:
        """Greedy completions, as many at once as there are slots.

        Returns:
            Seconds from the first request to the last answer, and the answers in order.

        Raises:
            WorkerError: a request fails.
        """
        own = threading.local()
        connections = []

        def one(prompt: str) -> str:
            if not hasattr(own, "connection"):
                own.connection = http.client.HTTPConnection(_HOST, self.port)
                connections.append(own.connection)
            body = {"prompt": prompt, "n_predict": max_tokens, "temperature": 0}
            answer = _post(own.connection, "/completion", {**body, "cache_prompt": True})
            return str(answer["content"])

        try:
            with ThreadPoolExecutor(self.slots) as pool:
                started = time.perf_counter()
                answers = list(pool.map(one, prompts))
                return time.perf_counter() - started, answers
        finally:
            for connection in connections:
                connection.close()


@contextmanager
def running(
    tools: Tools, weights: Path, *, threads: int, slots: int, cells: int = CELLS_PER_SLOT
) -> Iterator[Server]:
    """A server from the time it is ready until the end of the block.

    Args:
        cells: of each slot.

    Raises:
        MachineError: llama-server was not built.
        WorkerError: it does not become ready.
    """
    port = _free_port()
    command = [
        *(tools.program(SERVER), "-m", str(weights), "--host", _HOST, "--port", str(port)),
        *("-t", str(threads), "-np", str(slots), "-c", str(slots * cells)),
        *("--no-ui", "--offline", "--metrics"),
    ]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **tools.env},
        )
        try:
            _wait_until_ready(process, port)
            server = Server(port, slots)
            server.complete_all(["Warm up."] * slots, 2)
            yield server
        finally:
            process.terminate()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise WorkerError(f"{SERVER} ended with {process.returncode} before it was ready")
        connection = http.client.HTTPConnection(_HOST, port, timeout=5)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(_POLL_SECONDS)
    raise WorkerError(f"{SERVER} was not ready within {_START_SECONDS:.0f} s")


def _post(
    connection: http.client.HTTPConnection, path: str, body: dict[str, Any]
) -> dict[str, Any]:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read()
    if response.status != http.client.OK:
        raise WorkerError(f"{SERVER} refused a request", found=text[:200].decode(errors="replace"))
    answer: dict[str, Any] = json.loads(text)
    return answer


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
