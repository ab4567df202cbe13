"""How the processes of a cluster may reach each other, and what is refused.

Whoever reaches a scheduler runs code on every machine behind it. So everything stays on loopback,
where an SSH tunnel can end, or is encrypted and asks for a certificate: a folder with ``ca.pem``,
``cert.pem`` and ``key.pem`` on each machine. A network that is trusted as a whole has to be called
insecure by whoever types the command.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import dask
import msgspec
from distributed.security import Security

from localprompt import doors
from localprompt.errors import InputError, MachineError

FILES = ("ca.pem", "cert.pem", "key.pem")
_QUIET = {
    # Nothing of ours is looked at over HTTP.
    "distributed.worker.http.routes": [],
    "distributed.scheduler.http.routes": [],
    # A machine that is busy for a while is not gone.
    "distributed.comm.timeouts.tcp": "60s",
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    # Or the last thousand messages, portions of cases with them, are kept for Dask's developers.
    "distributed.admin.low-level-log-length": 0,
    # Tasks are given to a worker by name.
    "distributed.scheduler.work-stealing": False,
    "distributed.admin.large-graph-warning-threshold": "1GB",
}

SECONDS_REFUSED = 3.0
"""How long a scheduler may still be starting."""
_SECONDS_TO_CONNECT = 10.0
_SECONDS_BETWEEN_KNOCKS = 0.2
_LOUD = ("distributed", "tornado", "asyncio")


class Network(msgspec.Struct, frozen=True):
    """What the user typed about it."""

    tls: Path | None = None
    """A folder with FILES."""
    interface: str | None = None
    """The one interface to listen on; None: loopback."""
    insecure: bool = False


def settle_down() -> None:
    """Dask as it is used here: no pages, no memory limits of its own, nothing on stderr."""
    dask.config.set(_QUIET)
    # Some of its loggers have a level of their own, which their parent's does not change.
    for name in (*_LOUD, *logging.root.manager.loggerDict):
        if name.partition(".")[0] in _LOUD:
            logging.getLogger(name).setLevel(logging.CRITICAL)


def check_address(address: str, network: Network) -> tuple[str, int]:
    """The host and port of a scheduler.

    Raises:
        InputError: it is not an address, or can be reached by others without encryption.
    """
    example = "tcp://127.0.0.1:8786, or tls://HOST:8786"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"tcp", "tls"} or not parts.hostname or not port or parts.path:
        raise InputError(
            "not the address of a scheduler",
            where=address,
            expected=example,
            next_step="localprompt cluster scheduler prints its address",
        )
    if parts.scheme == "tls" and network.tls is None:
        raise InputError(
            "this address asks for certificates",
            where=address,
            expected=f"--tls FOLDER, with {', '.join(FILES)}",
        )
    if parts.scheme == "tcp" and network.tls is not None:
        raise InputError("with --tls the address begins with tls://", where=address)
    check_reach(is_loopback(parts.hostname), network, address)
    return parts.hostname, port


def check_reachable(address: str, chosen: Network) -> None:
    """Whether somebody listens at an address and may be spoken to, before anything else is done.

    Raises:
        InputError: the address may not be used like that, or certificates are missing.
        MachineError: nobody listens there.
    """
    place = check_address(address, chosen)
    security(chosen)
    deadline = time.monotonic() + SECONDS_REFUSED
    while True:
        try:
            socket.create_connection(place, timeout=_SECONDS_TO_CONNECT).close()
        except ConnectionRefusedError as error:
            if time.monotonic() > deadline:
                raise no_scheduler(address, error) from error
            time.sleep(_SECONDS_BETWEEN_KNOCKS)
        except OSError as error:
            raise no_scheduler(address, error) from error
        else:
            return


def no_scheduler(address: str, error: BaseException | None = None) -> MachineError:
    """Why none answers, as its user would say it."""
    cause: BaseException | None = error
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    message = "no scheduler of a cluster answers"
    place = urlsplit(address)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return MachineError(
            message,
            where=address,
            found=f"a certificate that does not fit: {cause.verify_message}",
            next_step=f"the same {', '.join(FILES)} on each machine, good at this hour",
        )
    if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
        return MachineError(
            message,
            where=address,
            found="what answers there is not encrypted",
            next_step="tcp:// for tls://, or a scheduler with --tls",
        )
    if isinstance(cause, ConnectionResetError) and place.scheme == "tcp":
        return MachineError(
            message,
            where=address,
            found=f"{cause}",
            next_step="tls:// and --tls FOLDER, if the scheduler was started with --tls",
        )
    if isinstance(cause, socket.gaierror):
        return MachineError(
            message,
            where=address,
            found=f"no such name: {cause.strerror}",
            next_step="the address in numbers, as cluster scheduler prints it",
        )
    options = "" if is_loopback(place.hostname or "") else " --interface NAME"
    options += " --tls FOLDER" if place.scheme == "tls" else ""
    return MachineError(
        message,
        where=address,
        found=None if cause is None else silence(cause),
        next_step=f"localprompt cluster scheduler{options}, on the machine of that address",
    )


def silence(cause: BaseException) -> str:
    """What it means that a connection came to nothing."""
    if isinstance(cause, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(cause, TimeoutError):
        return "no reply: another address, or a firewall"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return f"{type(cause).__name__}: {cause}"[:200]


def check_reach(loopback: bool, network: Network, where: str) -> None:
    """
    Raises:
        InputError: others than this machine could reach it, and it is not encrypted.
    """
    if loopback or network.tls is not None or network.insecure:
        return
    raise InputError(
        "beyond this machine a cluster needs certificates: who reaches it runs code there",
        where=where,
        expected=f"--tls FOLDER, with {', '.join(FILES)}; or an SSH tunnel that ends at 127.0.0.1",
        next_step="--insecure-network only where everybody on the network is trusted",
    )


def check_called_back(host: str, port: int, network: Network) -> None:
    """Whether a scheduler there can call a worker that listens as it is told to.

    Raises:
        InputError: the scheduler is on another machine, and the worker would be on loopback.
    """
    if network.interface is not None or is_loopback(host):
        return
    own = _interface_towards(host, port)
    raise InputError(
        "the scheduler calls its workers back, and this one would listen on loopback only",
        where=f"{host}:{port}",
        expected=f"--interface NAME, of: {', '.join(name for _, name in socket.if_nameindex())}",
        next_step=None if own is None else f"--interface {own}, which leads there",
    )


def _interface_towards(host: str, port: int) -> str | None:
    """The interface by which this machine reaches another one; nothing is sent."""
    from distributed.utils import get_ip_interface

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.connect((host, port))
            own = one.getsockname()[0]
    except OSError:
        return None
    for _, name in socket.if_nameindex():
        with suppress(ValueError, OSError):
            if get_ip_interface(name) == own:
                return name
    return None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it; a name counts as what it stands for now."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):  # a part of more than 63 letters is not even looked up
        return False
    return all(ipaddress.ip_address(str(one).partition("%")[0]).is_loopback for one in found)


def security(network: Network) -> Security:
    """The certificates for all three roles.

    Raises:
        InputError: a file is missing, or is not what its name says.
    """
    if network.tls is None:
        return Security(require_encryption=False)
    ca, cert, key = (network.tls / name for name in FILES)
    for path in (ca, cert, key):
        if not doors.is_file(path):
            raise InputError(
                "a certificate is missing",
                where=str(path),
                expected=f"{', '.join(FILES)} in one folder",
            )
    made = Security(
        require_encryption=True,
        tls_ca_file=str(ca),
        **{f"tls_{role}_cert": str(cert) for role in ("client", "scheduler", "worker")},
        **{f"tls_{role}_key": str(key) for role in ("client", "scheduler", "worker")},
    )
    try:
        made.get_connection_args("client")
        made.get_listen_args("scheduler")
    except OSError as error:
        raise InputError(
            "the certificates cannot be used", where=str(network.tls), found=str(error)
        ) from error
    return made


def listening_host(network: Network) -> str | None:
    """Where to listen: loopback, or None where an interface is named.

    Raises:
        InputError: there is no such interface, or it is open to others without encryption.
    """
    if network.interface is None:
        return "127.0.0.1"
    from distributed.utils import get_ip_interface

    try:
        address = get_ip_interface(network.interface)
    except ValueError as error:
        known = ", ".join(name for _, name in socket.if_nameindex())
        raise InputError(
            "there is no such interface", where=f"--interface {network.interface}", expected=known
        ) from error
    check_reach(is_loopback(address), network, f"--interface {network.interface}")
    return None
