"""A choice as a page, as Markdown, csv and json."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from localprompt.records.choice import ChoiceResult, Prices
from localprompt.stats.ranges import Range
from localprompt.store.history import History
from localprompt.views.choose import choice_page, choice_table, usd_text
from localprompt.views.files.choose import write_choice
from localprompt.views.report import html_report, markdown_report
from tests.choose.samples import NAMES, choice

HALF = [n % 2 == 0 for n in range(40)]


@pytest.fixture
def result(tmp_path: Path) -> Iterator[ChoiceResult]:
    with History(tmp_path / "history.db") as store:
        yield choice(store, [HALF, [True] * 40, [False] * 40])


def exported(result: ChoiceResult, wanted: str) -> str:
    stream = io.StringIO()
    write_choice(result, wanted, stream)  # type: ignore[arg-type]
    return stream.getvalue()


def test_csv_has_a_row_for_each_model_and_nothing_where_nothing_is_known(
    result: ChoiceResult,
) -> None:
    rows = list(csv.DictReader(io.StringIO(exported(result, "csv"), newline="")))
    assert [row["model"] for row in rows] == list(NAMES)
    assert [row["watt_hours_per_1000"] for row in rows] == ["", "", ""]
    assert float(rows[0]["seconds_per_1000"]) == pytest.approx(200)
    assert rows[0]["usd_basis"] == "estimated"


def test_json_is_the_whole_record(result: ChoiceResult) -> None:
    assert msgspec.convert(json.loads(exported(result, "json")), ChoiceResult) == result


def test_the_table_has_no_column_for_energy_that_was_not_measured(
    result: ChoiceResult, tmp_path: Path
) -> None:
    assert "energy" not in [column.title for column in choice_table(result).columns]
    with History(tmp_path / "other.db") as store:
        known = choice(store, [HALF, HALF], energy_joules=144.0)
    assert "energy" in [column.title for column in choice_table(known).columns]


def test_every_price_is_stated(tmp_path: Path) -> None:
    for number, (prices, words) in enumerate(
        [
            (Prices(), "estimated from CPU time at 3 to 20 W a core, 0.08 to 0.45 USD per kWh"),
            (Prices(usd_per_kwh=0.3), "0.3 USD per kWh"),
            (Prices(usd_per_hour=0.17), "their time at 0.17 USD an hour"),
        ]
    ):
        with History(tmp_path / f"{number}.db") as store:
            assert words in choice_table(choice(store, [HALF, HALF], prices=prices)).caption


def test_a_page_and_markdown_hold_the_table_and_the_sentences(result: ChoiceResult) -> None:
    page = choice_page(result)
    assert "<svg" in page
    for text in (page, exported(result, "md"), html_report(choices=[result])):
        assert "as long" in text
        assert all(name in text for name in NAMES)
    assert markdown_report(choices=[result]).startswith("## tickets\n")


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (Range(0.1, 0.1, 0.1), "0.10"),
        (Range(2e-5, 1e-4, 7e-4), "0.00002 to 0.0007"),
        (Range(12.4, 12.4, 12.4), "12"),
    ],
)
def test_money_has_no_exponents(usd: Range, text: str) -> None:
    assert usd_text(usd) == text
