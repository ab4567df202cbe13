"""What was found, one line each, with what mends it under those that need mending."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Protocol


class Finding(Protocol):
    """As :class:`localprompt.diagnosis.Finding`."""

    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def level(self) -> str: ...
    @property
    def advice(self) -> str: ...


_MARKS = {"ok": "  ", "slow": "! ", "broken": "x "}
_WIDTH = 80
_INDENT = " " * 14


def print_findings(findings: Iterable[Finding]) -> None:
    for finding in findings:
        head = f"{_MARKS[finding.level]}{finding.name:<12}"
        lines = textwrap.wrap(finding.text, _WIDTH - len(_INDENT), break_on_hyphens=False)
        print(head + f"\n{_INDENT}".join(lines or [""]))  # noqa: T201
        if finding.advice:
            print(f"{_INDENT}try: {finding.advice}")  # noqa: T201
