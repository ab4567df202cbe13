"""What was found, one line each, with what mends it under those that need mending."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Protocol

from localprompt.views.harmless import harmless
from localprompt.views.translation import translated


class Finding(Protocol):
    """As :class:`localprompt.doctor.Finding`."""

    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def level(self) -> str: ...
    @property
    def advice(self) -> str: ...
    @property
    def command(self) -> str: ...


_MARKS = {"ok": "  ", "slow": "! ", "broken": "x "}
_WIDTH = 80
_INDENT = " " * 14


def print_findings(findings: Iterable[Finding]) -> None:
    for finding in findings:
        print(harmless("\n".join(_lines(finding))))  # noqa: T201


def _lines(finding: Finding) -> Iterator[str]:
    """At most 80 columns each, unless a single word has more."""
    head = f"{_MARKS[finding.level]}{translated(finding.name):<12}"
    yield from _wrapped(translated(finding.text) or " ", head, _INDENT)
    advice = f"{_INDENT}{translated('try')}: "
    if finding.advice:
        yield from _wrapped(translated(finding.advice), advice, " " * len(advice))
    if finding.command:
        # A command that takes several lines can still be pasted as it is.
        yield from _wrapped(finding.command, advice, " " * len(advice), end=" \\")


def _wrapped(text: str, first: str, later: str, *, end: str = "") -> Iterator[str]:
    lines = textwrap.wrap(
        text,
        _WIDTH - len(first) - len(end),
        break_on_hyphens=False,
        break_long_words=not end,
        drop_whitespace=True,
    )
    for number, line in enumerate(lines or [""]):
        more = end if number < len(lines) - 1 else ""
        yield f"{first if number == 0 else later}{line}{more}"
