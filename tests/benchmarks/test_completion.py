"""The script that measures completions says what it measured."""

from __future__ import annotations

from benchmarks.completion import LINES, completed, row


def test_a_row_has_the_median_the_range_and_how_many() -> None:
    times = [(0.2, 0.1), (0.1, 0.05), (0.4, 0.2)]
    assert row("help", times) == "| help | 3 | 0.200 (0.100 to 0.400) | 0.100 |"


def test_a_completion_is_a_process_whose_time_is_taken() -> None:
    wall, cpu = completed(LINES[0])
    assert 0 < cpu < 60
    assert 0 < wall < 60
