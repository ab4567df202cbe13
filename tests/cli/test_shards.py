"""Parts of an evaluation at the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from localprompt.store.history import History
from tests.cli.conftest import Localprompt
from tests.evaluate.conftest import CASES, SUITE
from tests.evaluate.harness import Lab, write_part_of


@pytest.fixture
def lab(work: Path) -> Iterator[Lab]:
    """Evaluations that the program finds in its history."""
    made = Lab(work, lambda prompt: "good" if "fine" in prompt else "bad")
    made.store.close()
    made.write("tones.yaml", SUITE)
    made.write("cases.csv", CASES)
    with History() as made.store:
        yield made


def test_parts_are_merged_into_a_table_a_file_and_an_exit_code(
    localprompt: Localprompt, lab: Lab
) -> None:
    unbroken = lab.evaluate("tones.yaml", cached=False)
    parts = [str(write_part_of(lab, number, 2)) for number in (2, 1)]
    merged = localprompt("runs", "merge", *parts)
    assert merged.code == 0, merged.err
    assert "tones: 4 cases" in merged.out
    assert "merged from 2 parts, made on one kind of machine" in " ".join(merged.out.split())
    written = localprompt("runs", "merge", *parts, "-o", "whole.json", "--no-log")
    assert written.code == 0, written.err
    assert "merged from 2 parts" in written.err
    found = json.loads(Path("whole.json").read_text(encoding="utf-8"))
    assert [target["passes"] for target in found["targets"]] == [
        msgspec.to_builtins(target.passes) for target in unbroken.targets
    ]
    failed = localprompt("runs", "merge", *parts, "--fail-if", "pass_rate < 90%")
    assert (failed.code, failed.fields()["error"]) == (1, "a --fail-if condition is met")


def test_a_part_says_what_it_cannot_have_before_anything_is_answered(
    localprompt: Localprompt, lab: Lab
) -> None:
    lab.plan("tones.yaml", shard=(2, 2))
    part = ("--resume", "last")
    for given, error, next_step in (
        ((*part,), "the results of a part go into a file", "-o part2.jsonl"),
        (("tones.yaml", "--shard", "2/2"), "the results of a part go into a file", "-o part2"),
        ((*part, "-o", "p.jsonl", "--fail-if", "errors > 0"), "a part has no --fail-if", "merge"),
        ((*part, "-o", "p.csv"), "a part is written as lines of JSON", "merge part*.jsonl"),
        ((*part, "-o", "p", "--format", "md"), "a part is written as lines of JSON", "--format md"),
        (("tones.yaml", "--shard", "3/2", "-o", "p"), "not a part of an evaluation", ""),
    ):
        ran = localprompt("eval", *given)
        assert ran.code == 2, given
        assert error in ran.fields()["error"]
        assert next_step in ran.fields().get("try", "")
    assert not Path("p.csv").exists()
