"""``localprompt doctor``: what this machine and this build can do, and what stands in the way."""

from __future__ import annotations

from typing import Annotated

import typer

from localprompt.errors import MachineError

DETAILS = "Tests llama.cpp again. Exits with 3 if something has to be fixed first."
EXAMPLES = (
    "localprompt doctor",
    "localprompt doctor && localprompt ask 'Hello.'",
    "localprompt doctor > doctor.txt",
)


def command(
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="First measure attention of each model here: seconds to minutes for each.",
        ),
    ] = False,
) -> None:
    """Check what this machine and this build can do."""
    from localprompt.doctor import diagnose
    from localprompt.running.attention_model import measure_all
    from localprompt.views.doctor import print_findings
    from localprompt.views.messages import print_note

    if measure:
        measure_all(print_note)
    findings = diagnose()
    print_findings(findings)
    broken = [finding.name for finding in findings if finding.level == "broken"]
    if broken:
        raise MachineError("something has to be fixed first", found=", ".join(broken))
