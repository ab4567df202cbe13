"""Writers that are killed at any moment: what they leave is whole, and nothing is lost."""

from __future__ import annotations

import csv
import random
import sqlite3
import tomllib
from collections import Counter
from pathlib import Path

from localprompt.errors import LocalPromptError
from localprompt.gguf.header import read_gguf
from localprompt.sources.prompt.file import load_prompt
from tests.adversarial.harness import Zygote
from tests.adversarial.inputs import FAST, prepare

CASES = 300
_MODEL = ("-m", "tiny", *FAST)
WRITERS = {
    "ask": ["ask", "ab", *_MODEL],
    "evaluation": ["eval", "many.yaml", *_MODEL, "--no-cache", "-q"],
    "results of one": ["eval", "many.yaml", *_MODEL, "-q", "-o", "results.csv"],
    "table": ["run", "say", "--each", "table.csv", "--to", "answers.csv", *_MODEL, "-q"],
    "quantization": ["models", "quantize", "tiny", "--to", "q4_0", "--force"],
    "bundle": ["models", "bundle", "tiny", "-o", "kit.tar"],
    "installation": ["bundle", "install", "whole.tar", "--replace"],
    "pruning": ["runs", "prune", "--keep-last", "3"],
    "prompt": ["prompts", "new", "made", "--force"],
    "report": ["report", "last", "-o", "page.html"],
    "export": ["runs", "export", "-o", "runs.jsonl"],
    "configuration": ["config", "set", "threads", "1"],
    "registration": ["models", "add", "copy.gguf", "--name", "copy"],
}
_OFTEN = ("evaluation", "table", "table", "results of one")
"""What takes long enough to be killed in many ways."""


def with_cases(zygote: Zygote) -> None:
    """A suite of CASES cases, a table of as many rows, and a bundle."""
    prepare(zygote)
    rows = "".join(f"{n},icontains:a\n" for n in range(CASES))
    (zygote.work / "many.csv").write_text(f"x,__expected\n{rows}")
    (zygote.work / "many.yaml").write_text("prompts: ['Say {{ x }}.']\ntests: file://many.csv\n")
    (zygote.work / "table.csv").write_text("text\n" + "".join(f"t{n}\n" for n in range(CASES)))
    (zygote.work / "copy.gguf").write_bytes((zygote.home / "models" / "tiny.gguf").read_bytes())
    ran = zygote.run("models", "bundle", "tiny", "-o", "whole.tar")
    assert ran.code == 0, ran.err


def kill_writers(folder: Path, *, seed: int, kills: int) -> Counter[str]:
    """Kill writers drawn by lot, each at a moment drawn by lot, and look at what is there.

    Returns:
        how many kills came before each writer's end.

    Raises:
        AssertionError: something was lost, doubled, or is there by halves.
    """
    rng = random.Random(seed)
    before_the_end: Counter[str] = Counter()
    with Zygote(folder) as zygote:
        with_cases(zygote)
        for _ in range(2):  # the first time takes longer: something is measured, and kept
            (zygote.work / "answers.csv").unlink(missing_ok=True)
            usual = {name: zygote.run(*one).seconds for name, one in WRITERS.items()}
        for kill in range(kills):
            name = rng.choice((*WRITERS, *_OFTEN))
            if _answered(zygote) == CASES:
                (zygote.work / "answers.csv").unlink()
            answered = _answered(zygote)
            moment = rng.uniform(0.02, usual[name] * 1.2)
            ran = zygote.run(*WRITERS[name], kill_after=moment)
            before_the_end[name] += ran.code < 0
            try:
                assert "Traceback" not in ran.err, ran.err[-500:]
                assert _answered(zygote) >= answered, "answers of the table are gone"
                check_whole(zygote)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, kill {kill}, {name}: {error}") from error
        _everything_goes_on(zygote, seed)
    return before_the_end


def _everything_goes_on(zygote: Zygote, seed: int) -> None:
    for name, arguments in WRITERS.items():
        again = zygote.run(*arguments)
        assert again.code in {0, 1}, f"seed {seed}: {name}\n{again.err}"
    with (zygote.work / "answers.csv").open(newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    assert texts == [f"t{n}" for n in range(CASES)], f"seed {seed}"


def _answered(zygote: Zygote) -> int:
    """Whole rows of the table's answers; they have no line ends in them."""
    path = zygote.work / "answers.csv"
    return max(0, path.read_bytes().count(b"\n") - 1) if path.exists() else 0


def check_whole(zygote: Zygote) -> None:
    """
    Raises:
        AssertionError: what is there by name is not whole, or the history has a result twice.
    """
    for weights in (zygote.home / "models").glob("*.gguf"):
        try:
            read_gguf(weights)
        except LocalPromptError as error:
            raise AssertionError(f"half-made weights: {weights}") from error
    for prompt in (zygote.work / "prompts").glob("*.prompty"):
        try:
            load_prompt(prompt)
        except LocalPromptError as error:
            raise AssertionError(f"a half-made prompt: {prompt}: {error}") from error
    ends = {"page.html": b"</html>", "results.csv": b"", "runs.jsonl": b"}"}
    for name, end in ends.items():
        path = zygote.work / name
        assert not path.exists() or path.read_bytes().rstrip().endswith(end), (
            f"a half-made file: {name}"
        )
    results = zygote.work / "results.csv"
    if results.exists():
        assert results.read_bytes().count(b"\n") == CASES + 1, "half of the results"
    tomllib.loads((zygote.home / "config.toml").read_text())
    with sqlite3.connect(zygote.home / "history.db") as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        doubled = database.execute(
            "select 1 from eval_results group by experiment_id, target, case_index, repetition "
            "having count(*) > 1"
        ).fetchall()
    database.close()
    assert not doubled, "a result twice"
