from __future__ import annotations

import io
import re

from rich.console import Console

from localprompt.records.tuning import Tuning
from localprompt.views.tune import print_tuning, tuning_page
from tests.sample_tunings import tuning


def printed(shown: Tuning) -> str:
    stream = io.StringIO()
    print_tuning(shown, Console(file=stream, width=80))
    return stream.getvalue()


def test_the_table_fits_into_80_columns_and_marks_what_was_chosen() -> None:
    text = printed(tuning())
    assert max(map(len, text.splitlines())) <= 80
    chosen = next(line for line in text.splitlines() if line.endswith("chosen"))
    assert chosen.startswith("Q8_0")
    assert "2.00×" in chosen
    assert "+0.45 %" in chosen


def test_the_outcome_says_speed_suite_and_profile() -> None:
    text = printed(tuning())
    assert "2.01× the requests per second (1.90 to 2.10)" in text
    words = " ".join(text.split())
    assert "no loss shown" in words
    assert "--profile none" in words


def test_what_was_given_up_for_its_quality_has_its_reason() -> None:
    assert "Q4_0: given up: perplexity +14.6 %" in printed(tuning())


def test_a_tuning_that_chose_nothing_says_so() -> None:
    text = printed(tuning(chosen=None, profile=None, speed_up=None, speed_up_interval=None))
    assert "nothing was faster" in text


def test_the_page_has_all_three_charts_and_escapes_what_is_not_ours() -> None:
    page = tuning_page(tuning())
    for title in ("Time of one request", "Rise of perplexity", "Peak RSS"):
        assert title in page
    assert "Some &lt;CPU&gt;" in page
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
