"""The command as a person types it, and what is wrong before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.__main__ import run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "expected: --prompt, --suite, or both"),
        (("--prompt", "summarise"), "summarize"),
        (("--prompt", "summarize", "--types", "q4_9"), "expected: one of: q4_"),
        (("--prompt", "summarize", "--name", "none"), "cannot be the name of a profile"),
        (("--prompt", "summarize", "-o", "tune.pdf"), "expected: a .html file"),
        (("--suite", "nowhere.yaml"), "there is no such suite"),
        (("--prompt", "summarize", "--text", "nowhere.txt"), "the text cannot be read"),
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
