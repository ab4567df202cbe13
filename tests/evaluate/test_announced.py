"""Whoever measures says so to other processes, with how far it is, for as long as it lasts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.evaluate.harness import Lab

SUITE = """
prompts: ["Is this good or bad? {{ text }}"]
providers: [small]
tests:
  - {vars: {text: fine}, assert: [{type: equals, value: good}]}
  - {vars: {text: grey}, assert: [{type: equals, value: bad}]}
"""


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "running"


def test_an_evaluation_says_how_far_it_is_until_it_ends(
    tmp_path: Path, running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localprompt.evaluate.runner._SECONDS_BETWEEN_SAVES", 0)
    seen: list[dict[str, object]] = []

    def look(_: object) -> None:
        seen.extend(json.loads(file.read_text()) for file in running.iterdir())

    with Lab(tmp_path, lambda prompt: "good") as lab:
        lab.write("tones.yaml", SUITE)
        planned = lab.plan("tones.yaml")
        lab.carry_out(planned, look)
    assert seen
    assert {one["kind"] for one in seen} == {"eval"}
    assert {one["result_id"] for one in seen} == {planned.evaluation.id}
    assert seen[0]["total"] == 2
    assert list(running.iterdir()) == []


def test_an_evaluation_that_fails_is_no_longer_announced(tmp_path: Path, running: Path) -> None:
    def fails(prompt: str) -> str:
        raise KeyboardInterrupt

    with Lab(tmp_path, fails) as lab:
        lab.write("tones.yaml", SUITE)
        with pytest.raises(KeyboardInterrupt):
            lab.evaluate("tones.yaml")
    assert list(running.iterdir()) == []
