"""``localprompt doctor``: what this machine and this build can do, and what stands in the way."""

from __future__ import annotations

import typer

from localprompt.errors import EXIT_MACHINE

DETAILS = "Tests llama.cpp again. Exits with 3 if something has to be fixed first."


def command() -> None:
    """Check what this machine and this build can do."""
    from localprompt.doctor import diagnose
    from localprompt.views.doctor import print_findings

    findings = diagnose()
    print_findings(findings)
    if any(finding.level == "broken" for finding in findings):
        raise typer.Exit(EXIT_MACHINE)
