"""The port, the key, and the loop: what ``localprompt serve`` runs."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from localprompt.errors import InputError, MachineError
from localprompt.measure.machine import addresses, listening_on
from localprompt.web.app import build_app
from localprompt.web.guard import Keys
from localprompt.web.host import Host

_ALL = "0.0.0.0"  # noqa: S104  only where a user asks for it
_SECONDS_TO_LEAVE = 1


def serve(host: str, port: int, *, read_only: bool, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        port: 0: any that is free.
        announce: told each address with a key that a browser can use.

    Raises:
        MachineError: the port is taken, or may not be used.
        InputError: there is no such address on this machine.
    """
    listener = listener_on(host, port)
    bound = listener.getsockname()[1]
    names = names_of(host)
    hosts = frozenset(f"{name}:{bound}" for name in names)
    shown = names[0]
    keys = Keys(lambda key: announce(f"http://{shown}:{bound}/?key={key}"))
    engine = None if read_only else Host()
    server = server_of(build_app(engine, hosts, keys))
    announce(f"http://{shown}:{bound}/?key={keys.current}")
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()
        if engine is not None:
            engine.close()


def names_of(host: str) -> tuple[str, ...]:
    """What ``Host`` may be for a server that is bound there, without the port."""
    local = ("127.0.0.1", "localhost")
    if host == local[0]:
        return local
    if host == _ALL:
        return (*local, socket.gethostname().lower(), *addresses())
    return (f"[{host}]" if ":" in host else host.lower(),)


def server_of(app: ASGIApp) -> uvicorn.Server:
    """What serves the site: quiet, and without a word on what it is."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_LEAVE,
        timeout_keep_alive=30,
        ws="none",
        http="h11",
    )
    return uvicorn.Server(config)


def listener_on(host: str, port: int) -> socket.socket:
    """A socket that takes connections; raises as :func:`serve`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only where the protocol is named does asyncio send small answers at once (TCP_NODELAY); else
    # each page and each token may wait 40 ms for the reader's acknowledgement of the one before.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, UnicodeError, TypeError) as error:  # a name that cannot be one is any of them
        listener.close()
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            by = listening_on(port)
            raise MachineError(
                f"port {port} is in use",
                where=f"{host}:{port}",
                found=by,
                next_step=f"localprompt serve --port {port + 1}  (or --port 0: any that is free)",
            ) from error
        if number in {errno.EACCES, errno.EPERM}:
            raise MachineError(
                f"port {port} may not be used", expected="1024 or above", next_step="--port 8765"
            ) from error
        raise InputError(
            "this machine cannot be reached there", where="--host", found=host
        ) from error
    return listener
