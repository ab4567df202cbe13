"""A stored run once more, and what is different where its answer is."""

from __future__ import annotations

import msgspec
import pytest

from localprompt.errors import InputError, PromptFileError
from localprompt.running.again import differences, prompt_of
from tests.sample_runs import make_run


def test_runs_alike_have_no_differences() -> None:
    assert list(differences(make_run(0), make_run(1))) == []


def test_what_is_different_is_named_and_digests_are_not_spelled_out() -> None:
    before = make_run()
    now = msgspec.structs.replace(
        before,
        machine=msgspec.structs.replace(before.machine, llama_cpp_build="b9", cpu="another"),
        settings=msgspec.structs.replace(before.settings, n_threads=77),
        prompt=msgspec.structs.replace(before.prompt, sha256="f" * 64),
    )
    found = list(differences(before, now))
    assert f"llama.cpp build {before.machine.llama_cpp_build} → b9" in found
    assert f"n_threads {before.settings.n_threads} → 77" in found
    assert "prompt file" in found
    assert len(found) == 4


def test_a_run_without_a_prompt_cannot_be_run_again() -> None:
    run = make_run(kind="run", prompt=None)
    run = msgspec.structs.replace(run, prompt=msgspec.structs.replace(run.prompt, path=None))
    with pytest.raises(InputError, match="no prompt to run again"):
        prompt_of(run, {})


def test_a_prompt_that_is_gone_is_named() -> None:
    run = make_run(kind="run", prompt="gone")
    run = msgspec.structs.replace(
        run, prompt=msgspec.structs.replace(run.prompt, path="nowhere/gone.prompty")
    )
    with pytest.raises(PromptFileError, match="no such prompt file"):
        prompt_of(run, {})
