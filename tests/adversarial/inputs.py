"""One input, and the home and the folder that inputs come to."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.adversarial import models
from tests.adversarial.harness import Zygote
from tests.adversarial.hostile import Places
from tests.adversarial.seeds import BENCH, JSONL, PROMPT, SUITE

FAST = ("--threads", "1", "--max-tokens", "4")


class Try(NamedTuple):
    """One input."""

    arguments: list[str]
    stdin: str = ""
    long: bool = False
    file: Path | None = None
    """What was made for it; kept where it was not withstood."""
    page: bool = False
    """It is a request to the local page: method, address, body."""


def prepare(zygote: Zygote) -> Places:
    """A home with a small model, and a working folder with what names refer to."""
    (zygote.home / "models" / "tiny.gguf").write_bytes(models.working_gguf())
    zygote.run("models", "add", str(zygote.home / "models" / "tiny.gguf"), "--name", "tiny")
    prompts = zygote.work / "prompts"
    prompts.mkdir(exist_ok=True)
    (prompts / "say.prompty").write_text(PROMPT)
    for folder in (prompts, zygote.work):
        (folder / "cases.jsonl").write_text(JSONL)
    (zygote.work / "rows.csv").write_text(
        "x,y,__expected\n" + "".join(f"red,{n},contains:red\n" for n in range(4))
    )
    (zygote.work / "vars.yaml").write_text("x: yellow\n")
    (zygote.work / "prompt.txt").write_text("Name {{ x }}\n---\nAnd {{ y }}\n")
    (zygote.work / "suite.yaml").write_text(SUITE)
    (zygote.work / "bench.yaml").write_text(BENCH)
    (zygote.work / "base.yaml").write_text("target_delimiter: ' '\n")
    zygote.run("ask", "Hello.", "-m", "tiny", *FAST)
    return Places(zygote.folder / "places")
