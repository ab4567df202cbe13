"""The command as a person types it, and what is wrong before anything runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from localprompt.__main__ import run
from localprompt.records.tuning import Tuning
from localprompt.store.history import History
from tests.sample_tunings import tuning


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "expected: --prompt, --suite, or both"),
        (("--prompt", "summarise"), "summarize"),
        (("--prompt", "summarize", "--types", "q4_9"), "expected: one of: q4_"),
        (("--prompt", "summarize", "--name", "none"), "not a valid name for a profile"),
        (("--prompt", "summarize", "-o", "tune.pdf"), "expected: a .html file"),
        (("--suite", "nowhere.yaml"), "no such suite"),
        (("--prompt", "summarize", "--text", "nowhere.txt"), "no such file"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    arguments: tuple[str, ...], words: str, lab_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tune", "smollm2-135m", *arguments]) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert words in " ".join(said.split())
    assert not (lab_home / "profiles").exists()


def test_a_tuning_is_shown_again_by_its_id(
    lab_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with History() as store:
        store.keep(tuning())
    assert run(["runs", "show", tuning().id[:10]]) == 0
    assert "tune some-model" in capsys.readouterr().out
    assert run(["runs", "show", tuning().id, "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out, type=Tuning) == tuning()


def test_a_text_that_is_too_short_is_refused_before_the_race(
    lab_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "short.txt"
    text.write_text("Too short to say anything about a model. " * 20)
    assert run(["tune", "smollm2-135m", "--prompt", "summarize", "--text", str(text)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "too short to measure perplexity" in said
    assert "run" not in said.split("error:")[0]


def test_a_suite_that_cannot_pass_ends_the_tuning_with_the_reason(
    lab_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "hopeless.yaml"
    suite.write_text(
        "prompts: ['Say {{ word }}.']\n"
        "providers: [{id: smollm2-135m, config: {max_tokens: 2}}]\n"
        "tests:\n- {vars: {word: aha}, assert: [{type: equals, value: no model says this}]}\n"
    )
    assert run(["tune", "smollm2-135m", "--suite", str(suite), "--max-tokens", "2"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "no loss would ever show" in said
    assert "0 of 1 passed" in said
