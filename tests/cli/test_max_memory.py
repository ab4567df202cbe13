"""``--max-memory`` on the real starter model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localprompt.units import MIB
from tests.cli.conftest import Localprompt
from tests.cli.program import completed

pytestmark = pytest.mark.model


def test_a_limit_shrinks_the_run_until_it_fits(lab_home: Path) -> None:
    """In new processes, which begin with the same memory."""
    long_text = "Count the words of this text. " * 40
    asked = ("ask", long_text, "--threads", "1", "--max-tokens", "2", "--json")
    whole = json.loads(completed(*asked).out)
    limit = whole["memory"]["predicted_peak_bytes"] // MIB - 2
    ran = completed(*asked, "--max-memory", f"{limit}MiB")
    assert ran.code == 0
    record = json.loads(ran.out)
    assert record["memory"]["max_memory_bytes"] == limit * MIB
    assert record["memory"]["predicted_peak_bytes"] <= limit * MIB
    assert record["settings"]["n_ubatch"] < whole["settings"]["n_ubatch"]
    assert record["settings"]["n_ctx"] == whole["settings"]["n_ctx"]
    assert f"--max-memory {limit} MiB: n_ctx " in ran.err


def test_what_cannot_fit_is_refused_with_what_would(localprompt: Localprompt) -> None:
    ran = localprompt("ask", "Hi", "--max-memory", "60MiB")
    assert ran.code == 3
    assert ran.out == ""
    assert "where:    --max-memory" in ran.err
    assert "try:      --max-memory " in ran.err


@pytest.mark.parametrize("size", ["2x", "0", "much"])
def test_what_is_no_size_is_wrong_usage(localprompt: Localprompt, size: str) -> None:
    ran = localprompt("ask", "Hi", "--max-memory", size)
    assert ran.code == 2
    assert f"found:    {size}" in ran.err
