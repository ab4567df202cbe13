"""The commands as a person types them, on both sides of the gap."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Localprompt
from tests.cli.program import command_line, started, write_prompt

pytestmark = pytest.mark.model


def test_what_is_bundled_here_answers_there(
    localprompt: Localprompt, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_prompt(work, "greet", "user:\nSay hello to {{ name }}.\n")
    made = localprompt("models", "bundle", "smollm2-135m", "--prompts", "prompts")
    assert made.code == 0, made.err
    sha256, name = made.out.split()
    assert (len(sha256), name) == (64, "kit.tar")
    assert "localprompt bundle install kit.tar" in made.err
    seen = localprompt("bundle", "verify", "kit.tar")
    assert seen.code == 0, seen.err
    assert seen.out.startswith("intact ")
    assert "smollm2-135m (Apache-2.0)" in seen.out
    shutil.rmtree("prompts")
    monkeypatch.setenv("LOCALPROMPT_HOME", str(work / "there"))
    taken = localprompt("bundle", "install", "kit.tar")
    assert taken.code == 0, taken.err
    assert "installed 2 files of models, 1 files of prompts" in taken.err
    ran = localprompt("run", "greet", "-p", "name=Ada", "--max-tokens", "4", "--threads", "1")
    assert ran.code == 0, ran.err
    assert ran.out.strip()


def test_one_flipped_bit_in_the_weights_is_named(localprompt: Localprompt, work: Path) -> None:
    localprompt("models", "bundle", "smollm2-135m")
    with Path("kit.tar").open("r+b") as file:
        file.seek(50_000_000)
        byte = file.read(1)
        file.seek(50_000_000)
        file.write(bytes([byte[0] ^ 1]))
    seen = localprompt("bundle", "verify", "kit.tar")
    assert seen.code == 3
    assert seen.fields()["error"] == "a file of the bundle is damaged"
    assert seen.fields()["where"].endswith("SmolLM2-135M-Instruct.Q4_1.gguf")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "nothing to bundle"),
        (["smollm2-135n"], 2, "smollm2-135m"),
        (["smollm2-135m", "-o", "none/kit.tar"], 2, "no folder"),
        (["smollm2-135m", "--prompts", "none"], 2, "no such file or folder"),
        (["smollm2-135m", "--cpu", "native"], 2, "add --with-wheels"),
        (["--with-wheels", "--cpu", "z80"], 2, "native"),
        (["--with-wheels", "--python", "three"], 2, "3.11, 3.12"),
        (["--with-wheels", "--platform", "manylinux_2_28_s390x"], 2, "add --llama-wheel FILE"),
        (["--with-wheels", "--llama-wheel", "x-1-py3-none-linux_vax.whl"], 2, "linux_vax"),
    ],
)
def test_what_cannot_be_bundled_is_explained(
    localprompt: Localprompt, arguments: list[str], code: int, words: str
) -> None:
    ran = localprompt("models", "bundle", *arguments)
    assert ran.code == code
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert list(Path.cwd().glob("*kit*")) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_half_made_has_the_bundle_s_name(
    localprompt: Localprompt, work: Path, how: signal.Signals
) -> None:
    """Stopped at the moment when the archive begins to grow."""
    with started(command_line("models", "bundle", "smollm2-135m"), env=dict(os.environ)) as process:
        draft = work / ".kit.tar.incomplete"
        while process.poll() is None and not draft.exists():
            pass
        process.send_signal(how)
        process.wait()
    assert process.returncode in {130, -how}
    assert not (work / "kit.tar").exists()
    again = localprompt("models", "bundle", "smollm2-135m")
    assert again.code == 0, again.err
    assert [path.name for path in work.iterdir()] == ["kit.tar"]
