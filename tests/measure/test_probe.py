"""The probe reads memory for real, keeps its result, and survives a cache that is damaged."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from localprompt.errors import NotEnoughMemoryError
from localprompt.measure import machine, memory, probe
from localprompt.measure.memory import AvailableMemory
from localprompt.measure.probe import ArithmeticSample, BandwidthSample, ProbeResult
from localprompt.units import MIB

RESULT = ProbeResult(
    machine_id="0123456789ab",
    measured_at="2026-01-02T03:04:05+00:00",
    buffer_bytes=256 * MIB,
    bandwidth=(BandwidthSample(1, 10e9), BandwidthSample(2, 18e9), BandwidthSample(4, 17e9)),
)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_WINDOW_SECONDS", 0.01)
    monkeypatch.setattr(probe, "_ARITHMETIC_SECONDS", 0.01)
    monkeypatch.setattr(probe, "_LEAST_BUFFER_BYTES", 8 * MIB)
    monkeypatch.setattr(machine, "last_level_cache_bytes", lambda: None)


@pytest.mark.usefixtures("quick")
def test_bandwidth_is_read_with_each_number_of_threads() -> None:
    before = threading.active_count()
    found = probe.measure_bandwidth((1, 2, 3), 8 * MIB)
    assert [sample.threads for sample in found] == [1, 2, 3]
    # The same machine read with another program: no unit and no factor of 8 or 1,000 is lost.
    data = np.ones(8 * MIB // 8)
    began = time.perf_counter()
    for _ in range(5):
        data.sum()
    beside = 5 * data.nbytes / (time.perf_counter() - began)
    assert all(beside / 30 < sample.bytes_per_second < beside * 60 for sample in found)
    assert threading.active_count() == before


@pytest.mark.usefixtures("quick")
def test_a_probe_is_kept_for_its_machine_and_repeated_only_when_asked(own_home: Path) -> None:
    facts = machine.describe()
    first = probe.probe(facts)
    assert first.machine_id == facts.id
    assert first.buffer_bytes == 8 * MIB
    assert [path.name for path in (own_home / "cache").iterdir()] == [f"probe-{facts.id}.json"]
    marked = first.with_arithmetic(ArithmeticSample("q4_0", "build", 2, 5e10))
    assert probe.save(marked)
    assert probe.probe(facts) == marked
    assert probe.probe(facts, fresh=True).arithmetic == ()


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'{"machine_id": 3}'])
def test_a_damaged_cache_counts_as_none(own_home: Path, content: bytes) -> None:
    assert probe.save(RESULT)
    (own_home / "cache" / f"probe-{RESULT.machine_id}.json").write_bytes(content)
    assert probe.load(RESULT.machine_id) is None
    assert probe.save(RESULT)
    assert probe.load(RESULT.machine_id) == RESULT


def test_a_cache_that_cannot_be_written_is_told_and_leaves_nothing(own_home: Path) -> None:
    (own_home / "cache").write_text("a file where the folder should be", encoding="utf-8")
    assert probe.save(RESULT) is False
    assert probe.load(RESULT.machine_id) is None


def test_another_machine_has_no_result() -> None:
    assert probe.save(RESULT)
    assert probe.load("ffffffffffff") is None


def test_the_best_bandwidth_may_need_fewer_threads_than_there_are() -> None:
    assert RESULT.best_bandwidth == BandwidthSample(2, 18e9)


def test_arithmetic_belongs_to_a_type_and_a_build() -> None:
    q4 = ArithmeticSample("q4_0", "build 1", 2, 5e10)
    found = RESULT.with_arithmetic(q4).with_arithmetic(ArithmeticSample("q4_0", "build 1", 1, 3e10))
    assert found.best_arithmetic("q4_0", "build 1") == q4
    assert found.best_arithmetic("q4_0", "build 2") is None
    assert found.best_arithmetic("q8_0", "build 1") is None
    again = found.with_arithmetic(msgspec.structs.replace(q4, operations_per_second=1e10))
    assert len(again.arithmetic) == 2


@pytest.mark.usefixtures("quick")
def test_arithmetic_is_timed_after_a_first_call_that_does_not_count() -> None:
    calls: list[int] = []

    def multiply(threads: int) -> float:
        calls.append(threads)
        return sum(1.0 for _ in range(20_000))

    found = probe.measure_arithmetic(multiply, weight_type="f32", llama_cpp_build="b", threads=3)
    assert len(calls) >= 2
    assert set(calls) == {3}
    assert (found.weight_type, found.llama_cpp_build, found.threads) == ("f32", "b", 3)
    assert 1e5 < found.operations_per_second < 1e10


def test_no_room_for_a_buffer_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    little = AvailableMemory(512 * MIB, None, 100 * MIB, 0, 0)
    monkeypatch.setattr(memory, "available", lambda: little)
    with pytest.raises(NotEnoughMemoryError) as raised:
        probe.probe(machine.describe())
    assert raised.value.found == "100 MiB"
    assert raised.value.expected is not None
    assert raised.value.next_step is not None


@pytest.mark.parametrize(
    ("usable", "physical", "counts"),
    [
        (1.0, 1, (1,)),
        (2.0, 2, (1, 2)),
        (1.5, 4, (1,)),
        (0.5, 4, (1,)),
        (12.0, 6, (1, 2, 4, 6, 8, 12)),
        (128.0, 64, (1, 8, 16, 32, 64, 128)),
        (8.0, None, (1, 2, 4, 8)),
    ],
)
def test_thread_counts_reach_what_may_be_used_and_stay_few(
    usable: float, physical: int | None, counts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: usable)
    assert probe.thread_counts(physical) == counts
