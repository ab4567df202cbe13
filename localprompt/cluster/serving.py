"""A scheduler, and the workers that come to it, as processes of this program.

A worker is one process that does one thing at a time; llama.cpp is in a child of it. If its
scheduler goes, it waits for the next one at the same address. SIGTERM and Ctrl-C end both.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from tempfile import TemporaryDirectory
from typing import Any

from distributed import Scheduler, Worker
from distributed.core import rpc
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.security import Security

from localprompt.cluster import network, room
from localprompt.cluster.hands import RESOURCE
from localprompt.cluster.network import Network, no_scheduler
from localprompt.errors import InputError, MachineError

Announce = Callable[[str], None]

_SECONDS_BETWEEN_TRIES = 1.0
_SECONDS_TO_CONNECT = 5.0
"""Shorter than the time for the answer, so that a refused connection is told from silence."""
_SECONDS_TO_ANSWER = 10.0
_SECONDS_TO_LEAVE = 5.0
SECONDS_TO_END = 10.0
"""Of a plain Dask worker's process after its worker."""
SECONDS_TO_BE_FORGOTTEN = 180.0
"""How long a scheduler may take a worker for connected whose link has broken: longer than the
timeout of a connection."""
_MOST = 512
"""Workers of one host."""
_NOBODY_LISTENS = (ConnectionRefusedError,)


class Rooms(WorkerPlugin):
    """Ends the child of a worker with the worker.

    Args:
        seconds_to_end: where the process is only there for the worker: how long it may go on
            afterwards. One that gets SIGTERM while its scheduler retires it, as when an adaptive
            cluster gives its job back, hangs for ever in Dask's own end (2026.8).
    """

    name = "localprompt"

    def __init__(self, seconds_to_end: float | None = None) -> None:
        self._seconds_to_end = seconds_to_end

    def teardown(self, worker: Worker) -> None:
        if self._seconds_to_end is not None:
            late = threading.Timer(self._seconds_to_end, os._exit, (0,))
            late.daemon = True
            late.start()
        room.clear()


async def dask_setup(worker: Worker) -> None:
    """For ``dask worker --preload localprompt.cluster.serving --resources process=1``."""
    network.settle_down()
    await worker.plugin_add(plugin=Rooms(SECONDS_TO_END))


def run_scheduler(port: int, chosen: Network, announce: Announce) -> None:
    """Serve until a signal ends it.

    Raises:
        InputError: it may not listen there.
        MachineError: the port is taken.
    """
    host = network.listening_host(chosen)
    network.settle_down()
    security = network.security(chosen)

    async def serve(stop: asyncio.Event) -> None:
        try:
            scheduler = await Scheduler(
                host=host,
                interface=chosen.interface,
                port=port,
                protocol="tls" if chosen.tls else "tcp",
                security=security,
                dashboard=False,
                dashboard_address=f"{host or _address_of(chosen)}:0",
            )
        except (RuntimeError, OSError) as error:
            raise _port_taken(port, error.__cause__ or error) from error
        announce(scheduler.address)
        await _either(stop.wait(), scheduler.finished())
        await scheduler.close()

    _until_told(serve)


def run_worker(
    address: str, name: str | None, port: int, chosen: Network, announce: Announce
) -> None:
    """Work for the scheduler at an address until a signal ends it.

    Raises:
        InputError: the address or the interface may not be used like that.
        MachineError: what answers there is not a scheduler.
    """
    place = network.check_address(address, chosen)
    network.check_called_back(*place, chosen)
    host = network.listening_host(chosen)
    network.settle_down()
    security = network.security(chosen)
    called = _Name(name)

    async def work(stop: asyncio.Event) -> None:
        waited: str | None = None
        while not stop.is_set():
            silent = await _why_silent(*place)
            if silent is not None or not await _answers(address, security):
                why = silent or network.silence(ConnectionRefusedError())
                if waited != why:
                    announce(f"waiting for a scheduler at {address}: {why}")
                waited = why
                await _either(stop.wait(), asyncio.sleep(_SECONDS_BETWEEN_TRIES))
                continue
            waited = None
            with TemporaryDirectory(prefix="localprompt-") as folder:
                await _one_life(folder, stop)

    async def _one_life(folder: str, stop: asyncio.Event) -> None:
        try:
            worker = await Worker(
                address,
                nthreads=1,
                resources={RESOURCE: 1},
                name=called.now,
                host=host,
                interface=chosen.interface,
                port=port,
                security=security,
                memory_limit=0,  # Dask's; weights that are mapped would count
                local_directory=folder,
                dashboard=False,
                plugins=(Rooms(),),
                death_timeout=_SECONDS_TO_ANSWER,
            )
        except (RuntimeError, OSError, ValueError) as error:
            cause = error.__cause__ or error  # Dask says only that it failed to start
            if isinstance(cause, ValueError):
                if called.refused(cause):
                    await _either(stop.wait(), asyncio.sleep(_SECONDS_BETWEEN_TRIES))
            elif port and isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
                raise _port_taken(port, cause) from error
            else:
                announce(f"no connection: {cause}")
                await _either(stop.wait(), asyncio.sleep(_SECONDS_BETWEEN_TRIES))
            return
        announce(f"{called.now} works for {address}; Ctrl-C ends it")
        await _either(stop.wait(), worker.finished())
        room.clear()
        with suppress(Exception):
            await asyncio.wait_for(worker.close(), _SECONDS_TO_LEAVE)
        called.given_up()
        if not stop.is_set():
            announce("the scheduler is gone")

    _until_told(work)


class _Name:
    """What a worker is called: as its user says, or as its host, which may have several."""

    def __init__(self, given: str | None) -> None:
        self._given = given
        self._number = 1
        self._had_until: float | None = None

    @property
    def now(self) -> str:
        own = self._given or socket.gethostname()
        return own if self._number == 1 else f"{own}-{self._number}"

    def given_up(self) -> None:
        """This name was this worker's up to now."""
        self._had_until = time.monotonic()

    def refused(self, error: BaseException) -> bool:
        """Take the next name, or keep to the old one where it will be free again.

        Returns:
            whether to wait for it: a link was broken, and the scheduler has not noticed yet.

        Raises:
            InputError: the user chose this one, or the name was not what was refused.
        """
        since = None if self._had_until is None else time.monotonic() - self._had_until
        if since is not None and since < SECONDS_TO_BE_FORGOTTEN:
            return True
        self._number += 1
        if self._given is not None or "name taken" not in str(error) or self._number > _MOST:
            raise InputError(
                "the scheduler refuses this worker",
                where=f"--name {self._given or socket.gethostname()}",
                found=str(error),
            ) from error
        return False


def _port_taken(port: int, error: BaseException) -> MachineError:
    return MachineError(
        "nothing can listen on this port",
        where=f"--port {port}",
        found=str(error),
        next_step="--port 0 takes any that is free",
    )


async def _answers(address: str, security: Security) -> bool:
    """Whether a scheduler is there; False: nobody is.

    Raises:
        MachineError: somebody else is.
    """
    arguments = security.get_connection_args("worker")
    try:
        async with rpc(address, connection_args=arguments, timeout=_SECONDS_TO_CONNECT) as found:
            identity = await asyncio.wait_for(found.identity(), _SECONDS_TO_ANSWER)
    except Exception as error:
        if _nobody(error):
            return False
        raise no_scheduler(address, error) from error
    if identity.get("type") != "Scheduler":
        raise no_scheduler(address)
    return True


async def _why_silent(host: str, port: int) -> str | None:
    """Why nobody takes a connection there; None: somebody does. Asked first, because Dask tries a
    refused one again until its time is up, and what it says then depends on where that was."""
    try:
        opening = asyncio.open_connection(host, port)
        _, writer = await asyncio.wait_for(opening, _SECONDS_TO_CONNECT)
    except OSError as error:
        return network.silence(error)
    writer.close()
    return None


def _nobody(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, _NOBODY_LISTENS) or "Connection refused" in str(error):
            return True
        error = error.__cause__
    return False


def _address_of(chosen: Network) -> str:
    from distributed.utils import get_ip_interface

    return str(get_ip_interface(chosen.interface))


async def _either(*waited: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.ensure_future(one) for one in waited]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


def _until_told(serve: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(stop)

    asyncio.run(main())
