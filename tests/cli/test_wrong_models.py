"""Models that are missing, damaged, unknown or too large for the context or the machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from localprompt.measure.memory import AvailableMemory
from tests.cli.conftest import Localprompt
from tests.cli.program import SHORT, completed
from tests.models.tiny_gguf import METADATA, tiny_gguf

pytestmark = pytest.mark.model


@pytest.fixture
def no_model_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("a model was opened")

    monkeypatch.setattr("localprompt.running.run.open_llama", refuse)


@pytest.mark.usefixtures("no_model_is_opened")
@pytest.mark.parametrize(
    ("model", "told"),
    [
        (
            "smolm2-135m",
            {
                "error": "no model is called 'smolm2-135m'",
                "expected": "one of: smollm2-135m, smollm2-135m-instruct, smollm2",
                "try": "localprompt models list, or give the path of a .gguf file",
            },
        ),
        (
            "./nowhere.gguf",
            {
                "error": "no such model file",
                "where": "nowhere.gguf",
                "try": "localprompt models list",
            },
        ),
        (
            "notes.gguf",
            {
                "error": "not a GGUF file",
                "where": "WORK/notes.gguf",
                "expected": "a file that begins with GGUF",
                "found": "a file that begins with b'Dear diary, toda'",
                "try": "localprompt models list",
            },
        ),
        (
            "half.gguf",
            {
                "error": "the model file is truncated",
                "where": "WORK/half.gguf",
                "expected": "at least 98362432 bytes",
                "found": "49181216 bytes",
                "try": "fetch the file again: localprompt models pull NAME",
            },
        ),
    ],
)
def test_a_model_that_is_none_is_told(
    model: str,
    told: dict[str, str],
    localprompt: Localprompt,
    work: Path,
    starter_model: Path,
) -> None:
    (work / "notes.gguf").write_text("Dear diary, today I bought a GPU.")
    with starter_model.open("rb") as source, (work / "half.gguf").open("wb") as half:
        half.write(source.read(16 * 1024**2))
        half.truncate(starter_model.stat().st_size // 2)
    ran = localprompt("ask", "Hi", "-m", model)
    assert ran.code == (2 if "no model is called" in told["error"] else 3)
    assert ran.out == ""
    assert ran.fields() == {key: text.replace("WORK", str(work)) for key, text in told.items()}


@pytest.mark.usefixtures("no_model_is_opened")
@pytest.mark.parametrize(
    ("name", "consent"), [("smollm2-135m", ""), ("gemma3-270m", " --accept-license")]
)
def test_a_model_that_was_not_pulled_comes_with_the_command_that_pulls_it(
    name: str, consent: str, localprompt: Localprompt, lab_home: Path
) -> None:
    shutil.rmtree(lab_home / "models")
    ran = localprompt("ask", "Hi", "-m", name)
    assert ran.code == 3
    assert ran.fields()["error"] == f"the weights of {name} are not on this machine"
    assert ran.fields()["where"].startswith(str(lab_home / "models"))
    assert ran.fields()["try"] == f"localprompt models pull {name}{consent}"


@pytest.mark.parametrize(
    ("flip", "reason"),
    [
        (lambda data: data.replace(b"blk.7.attn_k.weight", b"blk.7.attn_j.weight"), "attn_k"),
        (lambda data: data.replace(b"\4\0\0\0\0\0\0\0gpt2", b"\4\0\0\0\0\0\0\0fpt2"), "tokenizer"),
    ],
    ids=["a tensor's name", "the tokenizer's name"],
)
def test_a_flipped_bit_is_told_in_llama_cpps_own_words(
    flip: Callable[[bytes], bytes],
    reason: str,
    localprompt: Localprompt,
    work: Path,
    starter_model: Path,
) -> None:
    """The head can be read and describes a model: only llama.cpp finds out."""
    data = starter_model.read_bytes()
    damaged = flip(data)
    assert sum(a != b for a, b in zip(data[:4_000_000], damaged[:4_000_000], strict=True)) == 1
    (work / "damaged.gguf").write_bytes(damaged)
    ran = localprompt("ask", "Hi", "-m", "damaged.gguf")
    assert ran.code == 3
    told = ran.fields()
    assert told["error"] == "llama.cpp cannot load this model"
    assert told["where"] == str(work / "damaged.gguf")
    assert reason in told["found"]


def test_an_architecture_that_this_build_does_not_know_is_named(
    localprompt: Localprompt, work: Path
) -> None:
    metadata = {
        key.replace("llama.", "hal9000."): "hal9000" if value == "llama" else value
        for key, value in METADATA.items()
    }
    (work / "hal.gguf").write_bytes(tiny_gguf(metadata))
    ran = localprompt("ask", "Hi", "-m", "hal.gguf")
    assert ran.code == 3
    assert "hal9000" in ran.fields()["found"]


def test_weights_that_changed_are_not_those_of_the_card(
    localprompt: Localprompt, lab_home: Path, starter_model: Path
) -> None:
    weights = lab_home / "models" / starter_model.name
    weights.unlink()
    data = bytearray(starter_model.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    ran = localprompt("ask", "Hi")
    assert ran.code == 3
    told = ran.fields()
    assert told["error"] == "the weights of smollm2-135m do not match its card"
    assert told["expected"].startswith("sha256 b179c9")
    assert told["try"] == "localprompt models pull smollm2-135m"


def test_a_prompt_longer_than_n_ctx_says_what_would_fit_and_what_it_takes(
    localprompt: Localprompt,
) -> None:
    ran = localprompt("ask", "word " * 1000, "--n-ctx", "512", "--max-tokens", "100")
    assert ran.code == 2
    told = ran.fields()
    assert told["error"] == "the prompt does not fit into the context"
    assert told["expected"] == "fewer than 512 tokens (n_ctx)"
    assert told["found"] == "1031 tokens"
    assert told["try"].startswith("--n-ctx 1280 (about ")
    assert told["try"].endswith("MiB of memory, estimated)")


def test_a_prompt_longer_than_the_model_was_trained_on_says_so(localprompt: Localprompt) -> None:
    told = localprompt("ask", "word " * 9000).fields()
    assert told["expected"] == "fewer than 8192 tokens (n_ctx)"
    assert told["try"].startswith("shorten the prompt: smollm2-135m was trained on 8192 tokens")
    assert "--n-ctx 9472 (about " in told["try"]


@pytest.mark.usefixtures("no_model_is_opened")
def test_a_model_that_will_not_fit_is_refused_before_it_is_loaded(
    localprompt: Localprompt,
) -> None:
    ran = localprompt("ask", "Hi", "--n-ctx", "1000000000")
    assert ran.code == 3
    told = ran.fields()
    assert told["error"] == "smollm2-135m would not fit into free memory"
    assert told["expected"].endswith("(estimated, at n_ctx 1000000000)")
    assert told["found"].endswith(" free")
    assert "--force to try" in told["try"]


def test_force_tries_what_is_predicted_not_to_fit(
    localprompt: Localprompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = AvailableMemory(2**30, None, 50 * 2**20, None, None)
    monkeypatch.setattr("localprompt.measure.memory.available", lambda: free)
    refused = localprompt("ask", "Hi", *SHORT)
    assert refused.code == 3
    assert refused.fields()["found"] == "50.0 MiB free"
    assert localprompt("ask", "Hi", *SHORT, "--force").code == 0


def test_memory_that_the_system_refuses_is_told_in_llama_cpps_own_words(lab_home: Path) -> None:
    little_memory = ("sh", "-c", 'ulimit -v 1500000; exec "$@"', "sh")
    ran = completed("ask", "Hi", "--n-ctx", "100000", "--force", prefix=little_memory)
    assert ran.code == 3
    told = ran.fields()
    assert told["error"] == "the context of 100096 tokens could not be allocated"
    assert "failed to allocate" in told["found"]
    assert "use a smaller --n-ctx" in told["try"]


@pytest.mark.usefixtures("no_model_is_opened")
@pytest.mark.parametrize(
    ("option", "value"), [("--type-k", "q9"), ("--max-tokens", "0"), ("--n-ctx", "many")]
)
def test_a_setting_that_cannot_be_is_told(
    option: str, value: str, localprompt: Localprompt
) -> None:
    ran = localprompt("ask", "Hi", option, value)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert option.removeprefix("--").replace("-", "_") in ran.err.replace("-", "_")


@pytest.mark.usefixtures("no_model_is_opened")
def test_an_unknown_kv_type_comes_with_those_that_there_are(localprompt: Localprompt) -> None:
    told = localprompt("ask", "Hi", "--type-v", "q9").fields()
    assert told["where"] == "type_v"
    assert "q8_0" in told["expected"]
    assert told["found"] == "q9"
