from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.evidence.running import EXPERIMENTS
from localprompt.records.evidence import EvidenceReport
from tests.evidence.harness import TestBench


@pytest.fixture
def bench(tmp_path: Path) -> TestBench:
    return TestBench(tmp_path)


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> EvidenceReport:
    """All ten, carried out once."""
    return TestBench(tmp_path_factory.mktemp("evidence")).run(EXPERIMENTS)
