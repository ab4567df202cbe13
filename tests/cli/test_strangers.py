"""What users type and have: arguments, numbers and outputs that are not what we would like."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from localprompt.errors import InputError
from localprompt.records import json
from localprompt.records.cell import MOST_SEED, SamplingChoices, sampling_for
from localprompt.views.messages import stand_in_note
from tests.sample_runs import make_run


def localprompt(*arguments: str | bytes, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "localprompt", *arguments],
        capture_output=True,
        env={**os.environ, **env},
        check=False,
    )


def test_an_argument_that_is_not_utf8_is_refused_in_words() -> None:
    done = localprompt("ask", b"caf\xe9")
    assert done.returncode == 2
    assert b"an argument is not text" in done.stderr
    assert b"argument 2" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_that_cannot_show_a_character_shows_another_and_says_so(
    encoding: str, tmp_path: Path
) -> None:
    path = tmp_path / "p.prompty"
    path.write_text("---\nname: mood\ndescription: \U0001f600 mood\n---\nuser:\nHi \U0001f600\n")
    done = localprompt("prompts", "show", str(path), PYTHONIOENCODING=encoding)
    assert b"Traceback" not in done.stderr
    assert b"?" in done.stdout
    assert b"cannot show every character" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", float("nan")), ("top_p", float("inf")), ("min_p", float("nan"))],
)
def test_a_number_that_is_not_finite_is_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match="not a finite number"):
        sampling_for(SamplingChoices(**{name: value}), {})  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [MOST_SEED + 1, MOST_SEED + 2, 1 << 40])
def test_a_seed_beyond_those_of_llama_cpp_is_refused(seed: int) -> None:
    with pytest.raises(InputError, match="out of range"):
        sampling_for(SamplingChoices(seed=seed), {})
    assert sampling_for(SamplingChoices(seed=MOST_SEED), {}).seed == MOST_SEED


def test_a_run_that_was_stored_with_a_temperature_that_is_no_number_can_be_read() -> None:
    data = json.encode(make_run()).replace(b'"temperature":0.0', b'"temperature":null')
    assert b'"temperature":null' in data
    assert str(json.decode(data).sampling.temperature) == "nan"


def test_a_suggested_command_can_be_pasted(tmp_path: Path) -> None:
    weights = tmp_path / "My model (v1).gguf"
    weights.write_bytes(b"GGUF")
    done = localprompt("models", "add", str(weights), "--name", "My model")
    tried = [line for line in done.stderr.decode().splitlines() if line.startswith("  try:")]
    for line in tried:
        assert shlex.split(line.partition("try:")[2])


def test_a_model_that_stands_in_for_another_is_named() -> None:
    assert stand_in_note("gpt-4", "smollm2-135m") == (
        "no model here is called 'gpt-4', which the prompt names: smollm2-135m answers"
    )
