"""Which format an output has."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.cli.bench import FORMATS
from localprompt.cli.output import format_of
from localprompt.errors import InputError
from tests.cli.conftest import Localprompt


@pytest.mark.parametrize(
    ("wanted", "file", "form"),
    [
        (None, None, "table"),
        (None, "b.csv", "csv"),
        (None, "B.JSONL", "jsonl"),
        (None, "b.txt", "table"),
        (None, "csv", "table"),
        ("md", "b.csv", "md"),
    ],
)
def test_a_file_is_what_its_name_says_unless_a_format_was_asked_for(
    wanted: str | None, file: str | None, form: str
) -> None:
    assert format_of(wanted, None if file is None else Path(file), FORMATS) == form


def test_a_format_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError) as caught:
        format_of("xls", None, FORMATS)
    assert caught.value.found == "xls"


def test_runs_are_exported_as_the_file_is_called(localprompt: Localprompt, tmp_path: Path) -> None:
    assert localprompt("runs", "export", "-o", str(tmp_path / "r.csv")).code == 0
    assert (tmp_path / "r.csv").read_text(encoding="utf-8").startswith("id,kind,created_at")


def test_a_report_is_no_table_of_data(localprompt: Localprompt, tmp_path: Path) -> None:
    ran = localprompt("report", "-o", str(tmp_path / "r.csv"))
    assert ran.code == 2
    assert "runs export" in ran.err
