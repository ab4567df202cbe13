"""Memory of this process, and what is left, told from the kernel's files."""

from __future__ import annotations

import mmap
import resource
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from localprompt.errors import NotEnoughMemoryError
from localprompt.measure import memory
from localprompt.measure.memory import MemoryReading
from localprompt.units import MIB
from tests.measure.machines import LAPTOP, UNIFIED, kernel_of

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
def test_a_status_file_becomes_a_reading(tmp_path: Path) -> None:
    status = "\n".join(
        [
            "VmHWM:     900 kB",
            "VmRSS:     600 kB",
            "RssAnon:   100 kB",
            "RssFile:   480 kB",
            "RssShmem:   20 kB",
            "VmSwap:      4 kB",
        ]
    )
    found = memory.read(kernel_of(tmp_path, {"proc/self/status": status}))
    assert found == MemoryReading(614400, 921600, 102400, 491520, 20480, 4096)


@linux
def test_an_old_kernel_leaves_the_parts_unknown(tmp_path: Path) -> None:
    found = memory.read(kernel_of(tmp_path, {"proc/self/status": "VmRSS: 600 kB"}))
    assert found.rss_bytes == 614400
    assert found.anonymous_bytes is None
    assert found.peak_rss_bytes is None


@linux
def test_a_mapping_that_is_written_appears_as_anonymous_and_stays_in_the_peak() -> None:
    before = memory.read()
    size = 64 * MIB
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
        block.write(b"\1" * size)
        during = memory.read()
    after = memory.read()
    assert before.anonymous_bytes is not None
    assert during.anonymous_bytes is not None
    assert during.peak_rss_bytes is not None
    assert after.rss_bytes is not None
    assert after.peak_rss_bytes is not None
    assert during.anonymous_bytes - before.anonymous_bytes > 0.9 * size
    assert after.peak_rss_bytes >= during.peak_rss_bytes
    assert after.peak_rss_bytes - after.rss_bytes > 0.9 * size


@linux
def test_the_peak_starts_again_after_a_reset() -> None:
    with mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
        block.write(b"\1" * (64 * MIB))
    high = memory.read().peak_rss_bytes
    if not memory.reset_peak():
        pytest.skip("this system does not let the peak be reset")
    low = memory.read().peak_rss_bytes
    assert high is not None
    assert low is not None
    assert high - low > 32 * MIB


@linux
def test_the_parts_add_up_to_what_is_resident() -> None:
    found = memory.read()
    assert found.anonymous_bytes is not None
    assert found.file_backed_bytes is not None
    assert found.shared_bytes is not None
    parts = found.anonymous_bytes + found.file_backed_bytes + found.shared_bytes
    assert parts == found.rss_bytes


CHILD = """
from localprompt.errors import NotEnoughMemoryError
from localprompt.measure import memory
block = bytearray(b"x") * (200 << 20)
print(memory.read().peak_rss_bytes)
"""

# A process of its own: ru_maxrss is inherited over fork and exec, so that a child of the test
# run would show the test run's peak, and RUSAGE_CHILDREN the largest of all its children.
PARENT = """
import resource, subprocess, sys
told = subprocess.run([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, check=True)
print(int(told.stdout), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


@linux
def test_the_peak_agrees_with_what_the_kernel_tells_a_waiting_parent() -> None:
    command = [sys.executable, "-c", PARENT, CHILD]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    read, told = map(int, done.stdout.split())
    assert read == pytest.approx(told, rel=0.03)


@linux
def test_available_memory_of_a_laptop(tmp_path: Path) -> None:
    found = memory.available(kernel_of(tmp_path, LAPTOP))
    assert found.total_bytes == 16_000_000 * 1024
    assert found.available_bytes == 8_000_000 * 1024
    assert found.limit_bytes is None
    assert found.swap_total_bytes == 2_000_000 * 1024
    assert found.swap_used_bytes == 500_000 * 1024


@linux
def test_a_containers_limit_counts_where_it_is_tighter(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/work.slice/bench.scope"
    limited = {
        **LAPTOP,
        **UNIFIED,
        f"{group}/memory.max": str(512 * MIB),
        f"{group}/memory.current": str(200 * MIB),
    }
    found = memory.available(kernel_of(tmp_path, limited))
    assert found.limit_bytes == 512 * MIB
    assert found.available_bytes == 312 * MIB


@linux
def test_a_limit_above_the_machines_memory_is_none(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/work.slice"
    found = memory.available(
        kernel_of(tmp_path, {**LAPTOP, **UNIFIED, f"{group}/memory.max": str(2**45)})
    )
    assert found.limit_bytes is None
    assert found.available_bytes == 8_000_000 * 1024


@pytest.mark.parametrize(("platform", "unit"), [("darwin", 1), ("freebsd14", 1024)])
def test_elsewhere_the_peak_comes_in_that_systems_unit(
    platform: str, unit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "ON_LINUX", False)
    monkeypatch.setattr(sys, "platform", platform)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    found = memory.read()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    assert found.peak_rss_bytes is not None
    assert before <= found.peak_rss_bytes <= after
    assert found.rss_bytes is not None
    assert found.rss_bytes > MIB
    assert found.anonymous_bytes is None


def test_elsewhere_available_memory_is_what_psutil_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "ON_LINUX", False)
    found = memory.available()
    assert found.total_bytes == psutil.virtual_memory().total
    assert found.available_bytes is not None
    assert 0 < found.available_bytes < found.total_bytes


def test_what_fits_to_the_last_byte_is_let_through_and_one_more_is_not() -> None:
    memory.require(900, "too large", next_step="", kept_bytes=100, free_bytes=1000)
    with pytest.raises(NotEnoughMemoryError, match="too large") as caught:
        memory.require(901, "too large", next_step="less", kept_bytes=100, free_bytes=1000)
    assert caught.value.found == "1000 B free"
    assert caught.value.expected == "901 B (estimated)"


def test_where_nobody_knows_what_is_free_it_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = memory.AvailableMemory(None, None, None, None, None)
    monkeypatch.setattr(memory, "available", lambda: unknown)
    memory.require(1 << 60, "too large", next_step="")
