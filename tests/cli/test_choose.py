"""The command as a person types it: what is wrong comes first, then the whole on a real model."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Localprompt

SUITE = """
prompts:
  - "Say {{ colour }}."
  - "Repeat this word: {{ colour }}"
tests:
  - vars: {colour: red}
    assert: [{type: icontains, value: red}]
  - vars: {colour: blue}
    assert: [{type: icontains, value: blue}]
"""
TWO = ("-m", "smollm2-135m", "-m", "smollm2-135m")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to choose for"),
        (("colours.yaml", "--resume", "last"), "--resume knows its suite"),
        (("--resume", "last"), "no choice is recorded yet"),
        (("one.yaml", *TWO), "there is nothing to choose among"),
        (("colours.yaml", "-m", "nobody"), "no model is called 'nobody'"),
        (("colours.yaml", "--scoring", "luck"), "expected: raw, normalized"),
        (("colours.yaml", "--usd-per-kwh", "-1"), "a price is not an amount of money"),
        (("colours.yaml", "-f", "xml"), "expected: table, md, csv, json, html"),
        (("colours.yaml", "-o", "nowhere/choice.html"), "no folder"),
        (("nowhere.yaml",), "no such suite"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    arguments: tuple[str, ...], words: str, localprompt: Localprompt, work: Path
) -> None:
    (work / "colours.yaml").write_text(SUITE)
    (work / "one.yaml").write_text('prompts: ["Say {{ x }}."]\ntests: [{vars: {x: 1}}]\n')
    ran = localprompt("choose", *arguments)
    assert ran.code in {2, 3}
    assert ran.out == ""
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert "nothing yet" in localprompt("runs", "list").err


@pytest.mark.model
def test_a_choice_on_the_real_model_is_told_stored_and_exported(
    localprompt: Localprompt, work: Path
) -> None:
    (work / "colours.yaml").write_text(SUITE)
    ran = localprompt(
        "choose", "colours.yaml", "-m", "smollm2-135m", "--max-tokens", "6", "-r", "6", "-q"
    )
    assert ran.code == 0
    assert "2 to choose among, 2 cases" in ran.out
    assert "as far as 2 cases can tell" in " ".join(ran.out.split())
    shown = localprompt("runs", "show", "last choose")
    assert shown.out == ran.out
    (row, _) = json.loads(localprompt("runs", "show", "last eval", "--json").out)["uses"][0][
        "by_target"
    ]
    assert row["answered"] == 2
    assert row["energy_joules"] is None or row["energy_joules"] > 0
    assert localprompt("report", "last choose", "-o", "choice.html").code == 0
    assert "<svg" in (work / "choice.html").read_text()
    again = localprompt("choose", "--resume", "last", "-o", "choice.csv")
    assert again.code == 0
    with (work / "choice.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert float(rows[0]["ttft_seconds"]) > 0
    assert int(rows[0]["peak_rss_bytes"]) > 1 << 26
    listed = localprompt("runs", "list").out
    assert all(kind in listed for kind in ("(choose)", "(bench)", "(eval)"))
