"""Killed at any moment, a writer leaves whole results and no half-made file under its name."""

from __future__ import annotations

import random
import secrets
import sqlite3
from pathlib import Path

import pytest

from tests.adversarial.harness import Zygote
from tests.adversarial.inputs import FAST
from tests.adversarial.kills import CASES, check_whole, kill_writers, with_cases

KILLS = 30


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_nothing_by_halves(tmp_path: Path) -> None:
    before_the_end = kill_writers(tmp_path, seed=secrets.randbelow(10**9), kills=KILLS)
    assert sum(before_the_end.values()) > 0


@pytest.mark.slow
def test_an_evaluation_that_is_killed_again_and_again_ends_complete(tmp_path: Path) -> None:
    rng = random.Random(secrets.randbelow(10**9))
    with Zygote(tmp_path) as zygote:
        with_cases(zygote)
        options = ("-m", "tiny", *FAST, "--no-cache", "-q")
        usual = zygote.run("eval", "many.yaml", *options).seconds
        zygote.run("eval", "many.yaml", *options, kill_after=usual / 3)
        for _ in range(8):
            zygote.run("eval", "--resume", "last", "-q", kill_after=rng.uniform(0.1, usual / 2))
        done = zygote.run("eval", "--resume", "last", "-q", "--format", "jsonl")
        assert done.code == 0, done.err
        zygote.run("config", "set", "threads", "1")
        check_whole(zygote)
        assert "incomplete" not in done.out
        with sqlite3.connect(zygote.home / "history.db") as database:
            counts = database.execute(
                "select count(*) from eval_results group by experiment_id"
            ).fetchall()
        database.close()
    assert {count for (count,) in counts[-1:]} == {CASES}
