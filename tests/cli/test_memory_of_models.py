"""What three families of models take, beside what was predicted before they were loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.records import json as record_json
from localprompt.records.run import RunRecord
from localprompt.units import MIB
from tests.cli.program import completed

pytestmark = [pytest.mark.model, pytest.mark.slow]

MODELS = ("starter_model", "laptop_model", "large_model")


def _asked(model: Path, home: Path, *words: str) -> RunRecord:
    """Two tokens in a process of its own, whose peak is nobody else's."""
    short = ("--threads", "1", "--max-tokens", "2", "--no-log", "--json", "--no-prefix-store")
    ran = completed(
        "ask", "Hello.", "-m", str(model), *short, *words, env={"LOCALPROMPT_HOME": str(home)}
    )
    assert ran.code == 0, ran.err
    return record_json.decode(ran.out)


@pytest.mark.parametrize("mapping", ["--mmap", "--no-mmap"])
@pytest.mark.parametrize("name", MODELS)
def test_the_predicted_peak_is_within_5_percent_of_the_measured_one(
    name: str, mapping: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    memory = _asked(request.getfixturevalue(name), tmp_path, mapping).memory
    assert memory.peak_rss_bytes is not None
    assert memory.predicted_peak_bytes == pytest.approx(memory.peak_rss_bytes, rel=0.05)


@pytest.mark.parametrize("name", MODELS)
def test_copies_for_this_cpu_are_there_instead_of_the_mapping_and_not_beside_it(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    record = _asked(request.getfixturevalue(name), tmp_path)
    held = record.settings.buffers or {}
    copies = sum(size for kind, size in held.items() if kind not in {"CPU", "CPU_Mapped"})
    assert record.settings.use_mmap is (copies < 0.2 * (record.model.size_bytes or 0))
    assert record.settings.repack is bool(copies)


def test_a_limit_of_memory_gives_up_the_second_copy_and_is_kept(
    starter_model: Path, tmp_path: Path
) -> None:
    record = _asked(starter_model, tmp_path, "--max-memory", "200MiB")
    assert (record.memory.peak_rss_bytes or 0) <= 200 * MIB
    assert record.settings.type_k == "f16"
    assert record.warnings == () or all(w.code != "over_max_memory" for w in record.warnings)
