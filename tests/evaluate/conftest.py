from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evaluate.harness import Lab

SUITE = """
prompts: ["Is this good or bad? {{ text }}"]
providers: [small]
tests: file://cases.csv
"""
CASES = """text,__expected
a fine day,good
a grey day,bad
a fine meal,good
a grey soup,good
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Four cases, three of which an engine that looks for "fine" gets right."""
    with Lab(tmp_path, lambda prompt: "good" if "fine" in prompt else "bad") as made:
        made.write("tones.yaml", SUITE)
        made.write("cases.csv", CASES)
        yield made
