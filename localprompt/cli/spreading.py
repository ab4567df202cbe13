"""The options that let other machines work, or several processes here."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from localprompt.errors import InputError, MachineError

if TYPE_CHECKING:
    from localprompt.cluster.hands import ClusterHands
    from localprompt.cluster.network import Network
    from localprompt.evaluate.executor import Executor

TlsOption = Annotated[
    Path | None,
    typer.Option(
        "--tls",
        metavar="FOLDER",
        help="ca.pem, cert.pem and key.pem, for tls:// addresses.",
    ),
]
InsecureOption = Annotated[
    bool,
    typer.Option(
        "--insecure-network",
        help="Beyond this machine without certificates: whoever reaches it runs code there.",
    ),
]
SameCpuOption = Annotated[
    bool,
    typer.Option(
        "--same-cpu-only",
        help="Only the machines with the CPU that most of them have.",
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterFlags:
    """Which cluster, and how it is reached."""

    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Use the machines of this cluster, such as tcp://127.0.0.1:8786.",
        ),
    ] = None
    tls: TlsOption = None
    insecure_network: InsecureOption = False
    same_cpu_only: SameCpuOption = False

    @property
    def typed(self) -> str:
        """The same once more on a command line; empty without a cluster."""
        if self.cluster is None:
            return ""
        tls = "" if self.tls is None else f" --tls {shlex.quote(str(self.tls))}"
        insecure = " --insecure-network" if self.insecure_network else ""
        same_cpu = " --same-cpu-only" if self.same_cpu_only else ""
        return f"--cluster {shlex.quote(self.cluster)}{tls}{insecure}{same_cpu}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpreadFlags(ClusterFlags):
    """Who answers the cases of an evaluation."""

    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Answer in N processes, which share the cores; each needs its own memory.",
        ),
    ] = None


def needs_cluster_extra(name: str) -> Any:
    """A module of :mod:`localprompt.cluster` that needs Dask.

    Raises:
        MachineError: it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(f"localprompt.cluster.{name}")
    except ImportError as error:
        raise MachineError(
            f"a cluster needs {error.name}, which is not installed",
            next_step="python -m pip install 'localprompt[cluster]'",
        ) from error


def network_of(
    tls: Path | None, *, insecure: bool = False, interface: str | None = None
) -> Network:
    """What was typed about the network."""
    made: Network = needs_cluster_extra("network").Network(tls, interface, insecure)
    return made


@contextmanager
def hands_of(flags: ClusterFlags, *, quiet: bool) -> Iterator[ClusterHands]:
    """The workers of the cluster that the flags name.

    Raises:
        InputError, MachineError: it cannot be reached like that.
    """
    from localprompt.views.messages import print_note

    module = needs_cluster_extra("hands")
    chosen = network_of(flags.tls, insecure=flags.insecure_network)
    client = module.connect(flags.cluster or "", chosen)
    say = (lambda _: None) if quiet else print_note
    with module.ClusterHands(client, same_cpu_only=flags.same_cpu_only, note=say) as hands:
        yield hands


def check_cluster_flags(flags: ClusterFlags) -> None:
    """Before anything is planned or stored.

    Raises:
        InputError: a flag of a cluster is given without one, or its address may not be used so.
        MachineError: nobody listens there.
    """
    if flags.cluster is not None:
        chosen = network_of(flags.tls, insecure=flags.insecure_network)
        needs_cluster_extra("network").check_reachable(flags.cluster, chosen)
        return
    given = {
        "--tls": flags.tls is not None,
        "--insecure-network": flags.insecure_network,
        "--same-cpu-only": flags.same_cpu_only,
    }
    for name, typed in given.items():
        if typed:
            raise InputError(
                "this is about a cluster, and none is named",
                where=name,
                next_step="--cluster tcp://HOST:PORT",
            )


def check_workers(flags: SpreadFlags) -> None:
    """
    Raises:
        InputError: more workers than cores, or beside a cluster.
    """
    if flags.workers is None:
        return
    from localprompt.measure import machine

    if flags.cluster is not None:
        raise InputError(
            "workers are processes of this machine, and a cluster has its own",
            where="--workers",
            next_step="only one of --workers and --cluster",
        )
    cores = machine.default_threads()
    if flags.workers > cores:
        raise InputError(
            "more workers than cores",
            where="--workers",
            expected=f"at most {cores}",
            found=str(flags.workers),
        )


def spreading(flags: SpreadFlags) -> str | None:
    """The option that spreads the cases over others; None: this process answers."""
    if flags.cluster is not None:
        return "--cluster"
    return None if flags.workers is None else "--workers"


@contextmanager
def executor_of(flags: SpreadFlags, *, quiet: bool) -> Iterator[Executor | None]:
    """Who answers; None: this process."""
    if spreading(flags) is None:
        yield None
        return
    from localprompt.evaluate.spread import Spread

    if flags.workers is None:
        with hands_of(flags, quiet=quiet) as hands, Spread(hands) as spread:
            yield spread
        return
    from localprompt.cluster.local import LocalHands
    from localprompt.measure import machine

    threads = max(1, machine.default_threads() // flags.workers)
    with LocalHands(flags.workers) as local, Spread(local, threads=threads) as spread:
        yield spread
