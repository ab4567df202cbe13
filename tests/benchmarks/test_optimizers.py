"""Optimizers side by side: the same rows, one rule for what is right, what is left to do."""

from __future__ import annotations

import argparse

import pytest

from benchmarks import improve_gain
from benchmarks.peers.optimizers import Row, Side, left, right, rows_of, table


@pytest.mark.parametrize("suite", improve_gain.SUITES)
def test_nothing_that_is_learnt_from_is_scored_on(suite: str) -> None:
    learnt, held_out = rows_of(suite, 0)
    assert len(learnt) > len(held_out) > 90
    assert not {row.text for row in learnt} & {row.text for row in held_out}


def test_an_answer_is_right_where_everything_expected_stands_in_it() -> None:
    assert right(Row("", "16"), "They are 16 people.")
    assert not right(Row("", "positive"), "negative")
    meeting = Row("", '{"day": "Sunday", "room": "Birch"}')
    assert right(meeting, '{"room":"Birch","day":"Sunday"}')
    assert not right(meeting, '{"room":"Birch","day":"Monday"}')


def asked(**other: object) -> argparse.Namespace:
    usual = {
        "model": "m",
        "suites": ["reviews", "notes"],
        "seeds": [0],
        "sides": ["improve", "capo"],
    }
    return argparse.Namespace(**(usual | other))


def test_what_is_in_the_file_is_not_measured_again_and_capo_has_closed_answers_only() -> None:
    done = Side("improve", "reviews", 0, "m", 120, 0.8, 100.0, 5000, "cue")
    assert left(asked(), [done]) == [("reviews", 0, "capo"), ("notes", 0, "improve")]
    other = [("reviews", 0, "improve"), ("reviews", 0, "capo"), ("notes", 0, "improve")]
    assert left(asked(model="other"), [done]) == other


def test_a_peer_that_failed_is_a_row_that_says_why() -> None:
    failed = Side("dspy", "reviews", 0, "m", 0, 0.0, 0.0, 0, "", failed="error: it | fell")
    assert "| dspy | failed | 0 | 0 s | 0 | error: it / fell |" in table([failed])


def test_a_seed_of_everything_comes_before_the_next_and_times_are_learnt() -> None:
    wanted = improve_gain.left(["a", "b"], ["reviews"], [0, 1], [])
    assert [(model, seed) for model, _, seed in wanted] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    seconds, why = improve_gain.expected_seconds("qwen2.5-coder-0.5b", "meetings", [], 9.0)
    assert (seconds, why) == (540.0, "estimated")
