"""Killed at any moment, a writer leaves whole results and no half-made file under its name."""

from __future__ import annotations

import random
import secrets
import sqlite3
from pathlib import Path

import pytest

from localprompt.errors import LocalPromptError
from localprompt.gguf.header import read_gguf
from tests.adversarial.areas import FAST, prepare
from tests.adversarial.harness import Zygote

KILLS = 30
_WRITERS = (
    ["ask", "ab", "-m", "tiny", *FAST],
    ["eval", "many.yaml", "-m", "tiny", *FAST, "--no-cache", "-q"],
    ["models", "quantize", "tiny", "--to", "q4_0", "--force"],
    ["models", "bundle", "tiny", "-o", "kit.tar"],
    ["bundle", "install", "whole.tar", "--replace"],
    ["runs", "prune", "--keep-last", "3"],
    ["prompts", "new", "made"],
)
_MANY = "prompts: ['Say {{ x }}.']\ntests: file://many.csv\n"


def _sound(home: Path) -> None:
    """What is there by name is whole."""
    for weights in (home / "models").glob("*.gguf"):
        try:
            read_gguf(weights)
        except LocalPromptError as error:
            raise AssertionError(f"half-made weights: {weights}") from error
    with sqlite3.connect(home / "history.db") as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        doubled = database.execute(
            "select 1 from eval_results group by experiment_id, target, case_index, repetition "
            "having count(*) > 1"
        ).fetchall()
    database.close()
    assert not doubled


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_nothing_by_halves(tmp_path: Path) -> None:
    seed = secrets.randbelow(10**9)
    rng = random.Random(seed)
    with Zygote(tmp_path) as zygote:
        prepare(zygote)
        rows = "".join(f"{n},icontains:a\n" for n in range(300))
        (zygote.work / "many.csv").write_text(f"x,__expected\n{rows}")
        (zygote.work / "many.yaml").write_text(_MANY)
        assert zygote.run("models", "bundle", "tiny", "-o", "whole.tar").code == 0
        unbroken = {tuple(w): zygote.run(*w) for w in map(tuple, _WRITERS)}
        for kill in range(KILLS):
            arguments = rng.choice(_WRITERS)
            usual = unbroken[tuple(arguments)].seconds
            ran = zygote.run(*arguments, kill_after=rng.uniform(0.02, usual * 1.2))
            where = f"seed {seed}, kill {kill}: {arguments}\n{ran.err[-500:]}"
            assert "Traceback" not in ran.err, where
            try:
                _sound(zygote.home)
            except AssertionError as error:
                raise AssertionError(f"{where}: {error}") from error
        for arguments in _WRITERS:  # and everything goes on
            if arguments[:2] != ["prompts", "new"]:
                again = zygote.run(*arguments)
                assert again.code in {0, 1}, f"seed {seed}: {arguments}\n{again.err}"


@pytest.mark.slow
def test_an_evaluation_that_is_killed_again_and_again_ends_complete(tmp_path: Path) -> None:
    rng = random.Random(secrets.randbelow(10**9))
    with Zygote(tmp_path) as zygote:
        prepare(zygote)
        rows = "".join(f"{n},icontains:a\n" for n in range(300))
        (zygote.work / "many.csv").write_text(f"x,__expected\n{rows}")
        (zygote.work / "many.yaml").write_text(_MANY)
        options = ("-m", "tiny", *FAST, "--no-cache", "-q")
        usual = zygote.run("eval", "many.yaml", *options).seconds
        zygote.run("eval", "many.yaml", *options, kill_after=usual / 3)
        for _ in range(8):
            zygote.run("eval", "--resume", "last", "-q", kill_after=rng.uniform(0.1, usual / 2))
        done = zygote.run("eval", "--resume", "last", "-q", "--format", "jsonl")
    assert done.code == 0, done.err
    _sound(zygote.home)
    assert "incomplete" not in done.out
    with sqlite3.connect(zygote.home / "history.db") as database:
        counts = database.execute(
            "select count(*) from eval_results group by experiment_id"
        ).fetchall()
    database.close()
    assert {count for (count,) in counts[-1:]} == {300}
