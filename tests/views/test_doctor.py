"""Findings as lines."""

from __future__ import annotations

import shlex

import pytest

from localprompt.doctor import Finding
from localprompt.views.doctor import print_findings

COMMAND = "A=1 python -m pip install --force-reinstall --no-binary some-package --no-deps x==1.2.3"


def test_no_line_is_wider_than_80_columns_and_commands_can_be_pasted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_findings([Finding("build uses", "AVX, " * 40, "slow", "build it anew " * 9, COMMAND)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("! build uses  AVX, AVX")
    first = next(n for n, line in enumerate(lines) if "try: A=1" in line)
    pasted = "\n".join(lines[first:]).replace("try: ", "", 1)
    assert shlex.split(pasted.replace("\\\n", " ")) == shlex.split(COMMAND)
    assert all(line.endswith(" \\") for line in lines[first:-1])


def test_what_is_fine_takes_one_line_without_a_mark(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings([Finding("cpu", "Some CPU"), Finding("model", "damaged", "broken")])
    assert capsys.readouterr().out == "  cpu         Some CPU\nx model       damaged\n"
