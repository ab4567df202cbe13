"""``localprompt cluster``: other machines work for an evaluation or a bench."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localprompt.cli.help import Commands
from localprompt.cli.spreading import (
    InsecureOption,
    TlsOption,
    needs_cluster_extra,
    network_of,
)
from localprompt.views.stream import data_out

if TYPE_CHECKING:
    from localprompt.records.cluster import CheckedModel, ClusterCheck
    from localprompt.records.model import ModelRecord

app = Commands()
EXAMPLES = (
    "localprompt cluster scheduler",
    "localprompt cluster worker tcp://127.0.0.1:8786",
    "localprompt cluster check tcp://127.0.0.1:8786",
)

Address = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="The scheduler's address, as tcp://127.0.0.1:8786.")
]
InterfaceOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The one network interface to listen on; by default only loopback."
    ),
]


@app.command(
    "scheduler",
    examples=(
        "localprompt cluster scheduler",
        "localprompt cluster scheduler --interface eth0 --tls certificates",
        "localprompt cluster scheduler --port 0",
    ),
)
def scheduler(
    *,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="0: any that is free.")
    ] = 8786,
    interface: InterfaceOption = None,
    tls: TlsOption = None,
    insecure_network: InsecureOption = False,
) -> None:
    """Run the scheduler, which hands out the work; one per cluster."""
    from localprompt.views.messages import print_note

    serving = needs_cluster_extra("serving")
    chosen = network_of(tls, insecure=insecure_network, interface=interface)
    print_note("Ctrl-C ends it. Machines and evaluations come to:")
    serving.run_scheduler(port, chosen, print_note)


@app.command(
    "worker",
    examples=(
        "localprompt cluster worker tcp://127.0.0.1:8786",
        "localprompt cluster worker tls://head:8786 --interface eth0 --tls certificates",
        "localprompt cluster worker tcp://127.0.0.1:8786 --name office --port 40001",
    ),
)
def worker(
    address: Address,
    *,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Its name in results; by default the host's."),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="0: any that is free.")
    ] = 0,
    interface: InterfaceOption = None,
    tls: TlsOption = None,
    insecure_network: InsecureOption = False,
) -> None:
    """Let this machine work for a cluster, with the models of its own store."""
    from localprompt.engine.llama.proof import gate
    from localprompt.views.messages import print_note

    serving = needs_cluster_extra("serving")
    chosen = network_of(tls, insecure=insecure_network, interface=interface)
    gate.passed()
    serving.run_worker(address, name, port, chosen, print_note)


@app.command(
    "check",
    examples=(
        "localprompt cluster check tcp://127.0.0.1:8786",
        "localprompt cluster check tcp://127.0.0.1:8786 -m smollm2-135m",
        "localprompt cluster check tls://head:8786 --tls certificates --json",
    ),
)
def check(
    address: Address,
    *,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|PATH",
            help="Let every machine answer 20 prompts with it; repeatable. By default none.",
        ),
    ] = None,
    tls: TlsOption = None,
    insecure_network: InsecureOption = False,
    json: Annotated[bool, typer.Option("--json", help="Print it as one JSON object.")] = False,
) -> None:
    """Show who is there, what each machine has, and whether their answers agree."""
    from localprompt.cli.output import console
    from localprompt.records import json as record_json
    from localprompt.views.cluster import print_check

    found = _checked(address, model or [], tls, insecure=insecure_network)
    if json:
        data_out().write(record_json.encode(found).decode() + "\n")
    else:
        print_check(found, console())


def _checked(address: str, names: list[str], tls: Path | None, *, insecure: bool) -> ClusterCheck:
    from localprompt.evaluate.machines import agreement, who_is_there
    from localprompt.records.cluster import ClusterCheck
    from localprompt.records.evaluation import EvalRequest
    from localprompt.running.assemble import model_record

    models = [model_record(name) for name in names]
    module = needs_cluster_extra("hands")
    client = module.connect(address, network_of(tls, insecure=insecure))
    with module.ClusterHands(client, waits_for_busy=False) as hands:
        machines = who_is_there(hands, hands.problems())
        agreements = [agreement(m, EvalRequest(suite=""), hands, hands.problems()) for m in models]
    return ClusterCheck(machines, tuple(_models(models)), tuple(agreements))


def _models(asked: list[ModelRecord]) -> Iterator[CheckedModel]:
    """Those that are asked for; where none is, those in this machine's store."""
    from localprompt.models.store import list_models
    from localprompt.records.cluster import CheckedModel
    from localprompt.running.admission import predicted_opening

    entries, _ = list_models()
    cards = {entry.card.sha256: entry.card for entry in entries if entry.state == "present"}
    named = {m.sha256 or "": (m.name, Path(m.path)) for m in asked}
    for sha256, card in cards.items():
        if not asked:
            named[sha256] = (card.name, card.weights)
    for sha256, (name, path) in named.items():
        known = cards.get(sha256)
        pulled = known is not None and known.sources
        fetch = f"localprompt models {'pull' if pulled else 'add'} {name if pulled else 'FILE'}"
        over = f"{fetch}; or with a stick: localprompt models bundle {name}"
        yield CheckedModel(name, sha256, predicted_opening(path), over)
